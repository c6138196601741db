"""The page "Your first own run": its files and its commands, in its order, in an empty folder.

`COMAL_VLLM_PYTHON` names a Python that has vLLM; without it the page's last step is passed over, as the slow test says.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from command_line import comal

PAGE = (Path(__file__).parents[2] / "docs" / "first-run.md").read_text("utf-8")
BLOCK = re.compile(r'^```(?:python title="(?P<title>[^"]+)"|console)\n(?P<text>.*?)^```', re.MULTILINE | re.DOTALL)
IN_VLLM = "vllm-python"


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder after the walk, and what each command said."""
    folder = tmp_path_factory.mktemp("walk")
    said: dict[str, str] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for block in BLOCK.finditer(PAGE):
            if block["title"]:
                Path(block["title"]).write_text(block["text"], encoding="utf-8")
                continue
            for line in block["text"].splitlines():
                program, first, *words = line.removeprefix("$ ").split()
                if program == "python":
                    runpy.run_path(first)
                elif program != IN_VLLM:
                    assert program == "comal"
                    done = comal(first, *words)
                    assert done.exit_code == 0, f"{line}\n{done.output}"
                    said["extend" if first in said else first] = done.output
                    sys.modules.pop("mine_judge", None)  # every command is a process of its own
    return folder, said


def test_the_walk(walked: tuple[Path, dict[str, str]]) -> None:
    folder, said = walked
    assert list(said) == ["init", "plan", "run", "status", "report", "extend"]
    assert "wrote mine.yaml and mine_judge.py" in said["init"]
    assert "with LoRA" in said["plan"]
    assert "runs/mine/report.html" in said["run"]
    assert "done" in said["status"]
    assert "it had ended after 4 steps; kept: runs/mine/result-after-4-steps.json" in said["extend"]
    run = folder / "runs" / "mine"
    result = json.loads((run / "result.json").read_text("utf-8"))
    assert result["policies"]["comal"]["kl_start"]["mean"] > 0.1, "the policy moved"
    assert json.loads((run / "result-after-4-steps.json").read_text("utf-8")) != result
    assert len(list((run / "comal" / "steps").iterdir())) == 6
    assert (run / "report.html").is_file()


def test_the_model_at_its_end_is_the_adapter_at_its_end(
    walked: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(walked[0])
    ids = AutoTokenizer.from_pretrained("runs/mine/model")("Name something.", return_tensors="pt")["input_ids"]
    merged = AutoModelForCausalLM.from_pretrained("runs/mine/model")
    with torch.no_grad():
        logits = [model.eval()(ids).logits for model in (merged, AutoModelForCausalLM.from_pretrained("tiny"))]
        adapter = peft.AutoPeftModelForCausalLM.from_pretrained("runs/mine/adapter").eval()(ids).logits
    assert torch.allclose(logits[0], adapter, atol=1e-3)
    assert not torch.allclose(logits[0], logits[1], atol=0.1)


@pytest.mark.slow
def test_vllm_loads_the_model_and_computes_the_same(
    walked: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Greedy log-probabilities of vLLM in float32 against those of Transformers, on the page's own prompt."""
    if (python := os.environ.get("COMAL_VLLM_PYTHON")) is None:
        pytest.skip("COMAL_VLLM_PYTHON names no Python that has vLLM")
    monkeypatch.chdir(walked[0])
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    Path("score_vllm.py").write_text(SCORE, encoding="utf-8")
    for script in ("ask_vllm.py", "score_vllm.py"):
        done = subprocess.run([python, script], capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    tokens, found = json.loads(Path("scores.json").read_text("utf-8"))
    prompt = AutoTokenizer.from_pretrained("runs/mine/model")("Name something that has 7 parts.")["input_ids"]
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained("runs/mine/model").eval()(torch.tensor([prompt + tokens])).logits
    logp = logits[0, len(prompt) - 1 : -1].log_softmax(-1)[range(len(tokens)), tokens]
    assert found == pytest.approx(logp.tolist(), abs=1e-3)


SCORE = """
import json
from pathlib import Path

from vllm import LLM, SamplingParams

if __name__ == "__main__":
    llm = LLM("runs/mine/model", max_model_len=128, kv_cache_memory_bytes=2**28, enforce_eager=True, dtype="float32")
    how = SamplingParams(max_tokens=12, logprobs=0, temperature=0)
    (answer,) = llm.generate(["Name something that has 7 parts."], how)
    tokens = list(answer.outputs[0].token_ids)
    found = [step[t].logprob for step, t in zip(answer.outputs[0].logprobs, tokens)]
    Path("scores.json").write_text(json.dumps([tokens, found]))  # on stdout vLLM says much
"""
