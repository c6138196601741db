"""`comal eval` and `comal certify` on a run with LoRA, and an evaluation by two processes under torchrun."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

import tiny_models
import tiny_run
from command_line import comal

JUDGE = {"name": "rules", "rules": [{"measure": "characters", "prefer": "less"}]}
COMMANDS = {
    "eval": ("--judge", "{run}", "--draws", "20", "--answers", "3"),
    "certify": ("--set", "steps=2", "--set", "every=1", "--set", "starts=[start]"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of adapters on a model whose answers have several lengths."""
    folder = tmp_path_factory.mktemp("lora")
    base = tiny_models.save_causal_lm(folder / "base", initializer_range=0.2)
    values = tiny_run.values(folder / "data", steps=2, judge=JUDGE)
    del values["supervised"]
    values["policy"] = {"model": base, "lora": {"r": 2, "alpha": 4.0}, "max_new_tokens": 4}
    values["training"]["learning_rate"] = 0.05  # far enough for start and end to differ
    recipe = tiny_run.write(folder, values)
    done = comal("run", recipe, "--output-dir", folder / "run")
    assert done.exit_code == 0, done.output
    assert (folder / "run" / "model" / "adapter_config.json").is_file()
    return folder / "run"


def words(command: str, run: Path, folder: Path) -> list[str]:
    options = [option.format(run=run) for option in COMMANDS[command]]
    return [command, str(run), *options, "--json", "--output-dir", str(folder)]


def one_process(command: str, run: Path, folder: Path) -> Any:
    done = comal(*words(command, run, folder))
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_policies_of_a_lora_run_play_each_other(run: Path, tmp_path: Path) -> None:
    found = one_process("eval", run, tmp_path)
    assert list(found["policies"]) == ["start", "comal"]
    assert found["policies"]["start"]["kl_reference"]["value"] == 0, "the start is the model without its adapter"
    assert found["policies"]["comal"]["kl_reference"]["value"] != 0, "and the end is not"


def test_a_lora_run_is_certified_by_trained_adapters(run: Path, tmp_path: Path) -> None:
    (certificate,) = one_process("certify", run, tmp_path)["certificates"]
    assert certificate["policy"] == "comal"
    assert "trained exploiter" in {a["kind"] for a in certificate["adversaries"]}
    assert list(tmp_path.rglob("adapter_model.safetensors")), "the exploiter is an adapter, too"


@pytest.mark.slow
def test_an_evaluation_by_two_processes_of_torchrun_finds_what_one_finds(run: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(port)]
    done = tiny_run.call(
        ["env", "ACCELERATE_USE_CPU=true", *launch, "-m", "comal", *words("eval", run, tmp_path / "two")]
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("evaluation folder: ") == 1, "said once, not by every process"
    assert json.loads(done.stdout) == one_process("eval", run, tmp_path / "one")
