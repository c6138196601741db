"""Every benchmark as one command, at a size that says nothing: that it runs to its table."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

import outside_engines

TINY = ["--shape", "tiny", "--repeats", "1"]


def lines_of(name: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, list[str]]:
    """The cells of the tables that a benchmark prints, by their first."""
    importlib.import_module(name).main(arguments)
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    return {first: rest for first, *rest in rows}


def test_outside_of_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--shape", "tiny", "--prompts", "4", "--samples", "2", "--prompt-tokens", "8", "--answer-tokens", "4"]
    found = lines_of("outside_model", [*arguments, "--steps", "1"], capsys)
    parts = ("backward", "forward", "generate, around the passes", "optimiser", "outside")
    assert sum(float(found[part][1]) for part in parts) == pytest.approx(100, abs=0.3)
    assert float(found["comal.pipeline.training train_prox"][0]) > 0


def test_sampling_engines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--prompts", "2", "--samples", "2", "--prompt-tokens", "4", "--answer-tokens", "4"]
    python = outside_engines.fake_python(tmp_path)
    found = lines_of("sampling_engines", [*TINY, *sizes, "--python", python], capsys)
    assert float(found["generate"][2]) == 1.0
    assert float(found["vllm"][1]) > 0


def test_gradients_are_those_of_the_plain_implementation() -> None:
    speed, lm = importlib.import_module("training_speed"), importlib.import_module("side_by_side.random_lm")
    model, texts = lm.make_model(lm.SHAPES["tiny"]), lm.prompts_and_answers(2, 4, 24, 6)
    assert speed.gradient_apart(model, texts, share_prompt=False) < 1e-5
    assert speed.gradient_apart(model, texts, share_prompt=True) < 1e-5


@pytest.mark.slow
class TestAgainstTRL:
    """Importing TRL takes longer than all else here."""

    def test_training_speed(self, capsys: pytest.CaptureFixture[str]) -> None:
        found = lines_of("training_speed", [*TINY, "--ratios", "2", "--answer-tokens", "4", "--steps", "1"], capsys)
        assert {"comal", "comal, share_prompt", "TRL DPO"} < found.keys()
        assert float(found["comal"][-1]) < 1e-5

    def test_online_step(self, capsys: pytest.CaptureFixture[str]) -> None:
        sizes = ["--prompts", "4", "--prompt-tokens", "8", "--answer-tokens", "4", "--answers", "8", "--drawn", "8"]
        found = lines_of("online_step", [*TINY, *sizes], capsys)
        assert {"comal", "comal, share_prompt", "TRL Online DPO"} < found.keys()

    @pytest.mark.parametrize("adapters", [[], ["--lora", "2"]])
    def test_gpu_on_a_cpu(self, adapters: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        sizes = ["--device", "cpu", "--prompt-tokens", "8", "--answer-tokens", "4", "--steps", "1"]
        found = lines_of("gpu", [*TINY, *sizes, *adapters], capsys)
        assert float(found["TRL DPO"][2]) == 1.0
        assert found["comal, share_prompt"][-1] == "not measured"

    @pytest.mark.parametrize("way", ["comal, share_prompt", "TRL DPO"])
    def test_training_memory(self, way: str, capsys: pytest.CaptureFixture[str]) -> None:
        sizes = ["--vocabulary", "1000", "--answers", "4", "--tokens", "8"]
        importlib.import_module("training_memory").main([*sizes, "--way", way])
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["cpu"] > 0


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    gpu: Any = importlib.import_module("gpu")
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as stopped:
        gpu.main([])
    assert stopped.value.code == 2
    assert "no GPU here; try it by --shape tiny --device cpu" in capsys.readouterr().err
