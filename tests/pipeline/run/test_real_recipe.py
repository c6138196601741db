"""A chat model, people's prompts and a reward model: the main job as users have it, at the size of a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import tiny_models
import tiny_run
from comal.pipeline.disk.files import read_json
from comal.pipeline.disk.result import RunResult
from comal.pipeline.run.run import Run
from comal.recipes.load import validate
from comal.reports.html.run_report import write_report

SHARED = Path(__file__).parents[3].parent / "shared"
ULTRAFEEDBACK = SHARED / "data" / "ultrafeedback_prompts" / "ultrafeedback_test.jsonl"

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("made")
    if ULTRAFEEDBACK.is_file():
        # Short ones: a judge with 1,024 positions for bytes has no verdict on the others.
        every = ULTRAFEEDBACK.read_text(encoding="utf-8").splitlines()
        lines = [line for line in every if len(line) < 500][:64]
    else:
        pytest.skip(f"{ULTRAFEEDBACK} is not there")
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {
        "model": tiny_models.save_causal_lm(folder / "model", architecture="qwen2", initializer_range=0.1),
        "judge": tiny_models.save_reward_model(folder / "judge", initializer_range=0.3),
        "prompts": str(folder / "prompts.jsonl"),
    }


def recipe(made: dict[str, str], **training: Any) -> dict[str, Any]:
    return {
        "name": "real",
        "policy": {"model": made["model"], "max_prompt_tokens": 48, "max_new_tokens": 8},
        "prompts": {"train": {"source": made["prompts"]}, "held_out": 4},
        "judge": {"name": "reward_model", "models": [made["judge"]]},
        "algorithm": tiny_run.COMAL | {"inner": {"name": "inpo", "eta": 4.0, "tau": 0.1}},
        "steps": 3,
        "sampling": {"prompts": 16, "samples": 4},
        "training": {"learning_rate": 5e-3, "prompts_per_batch": 4} | training,
        "evaluation": {"validation_prompts": 4, "test_prompts": 4, "samples": 8, "best_of": [2]},
        "threads": 1,
    }


def run(folder: Path, values: dict[str, Any]) -> RunResult:
    with Run(folder, validate(values)) as started:
        result = started.execute()
    write_report(folder)
    assert read_json(folder / "result.json") == result.to_json()
    assert (folder / "report.html").stat().st_size > 1000
    assert result.policies["comal"].kl_start.mean > 0
    assert result.policies["comal"].figures.win_rate is not None
    return result


@pytest.mark.parametrize(
    "training",
    [
        {"share_prompt": True},
        {"loss": {"name": "pair", "target": "win_rate"}, "pairing": "best-worst"},
        {"loss": "pair", "pairing": "random"},
    ],
    ids=["group", "pair best-worst", "pair random"],
)
def test_a_full_fine_tune_ends_with_a_model_that_loads(tmp_path: Path, made: dict[str, str], training: Any) -> None:
    run(tmp_path / "run", recipe(made, **training))
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run" / "model")
    assert model.config.model_type == "qwen2"
    assert tokenizer.chat_template


@pytest.mark.parametrize("supervised", [False, True])
def test_lora_ends_with_an_adapter_that_loads(tmp_path: Path, made: dict[str, str], supervised: bool) -> None:
    values = recipe(made)
    values["policy"]["lora"] = {"r": 4, "alpha": 8}
    values["steps"] = 2
    if supervised:
        pairs = tmp_path / "pairs.jsonl"
        pairs.write_text(json.dumps({"prompt": "Why?", "answer": "Because."}) + "\n")
        values["supervised"] = {"data": {"source": str(pairs)}, "epochs": 1}
    run(tmp_path / "run", values)
    adapter = tmp_path / "run" / "adapter"
    model = peft.AutoPeftModelForCausalLM.from_pretrained(adapter)
    base = model.peft_config["default"].base_model_name_or_path
    assert base == (str(tmp_path / "run" / "supervised") if supervised else made["model"])
    size = sum(p.stat().st_size for p in adapter.glob("*.safetensors"))
    assert size < (Path(made["model"]) / "model.safetensors").stat().st_size / 2
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model").eval()
    ids = torch.arange(3, 12)[None]
    with torch.no_grad():
        torch.testing.assert_close(merged(ids).logits, model.eval()(ids).logits, atol=1e-4, rtol=0)
