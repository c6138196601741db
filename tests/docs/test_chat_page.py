"""The page "Align your own chat model": its files and commands, in its order, on a small GGUF file, in fewer steps."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

import gguf_files
import tiny_models
from comal.pipeline.disk.files import read_json
from comal.pipeline.disk.progress import FileProgress
from command_line import comal

PAGE = (Path(__file__).parents[2] / "docs" / "chat.md").read_text("utf-8")
BLOCK = re.compile(r'^```(?:(?:python|yaml) title="(?P<title>[^"]+)"|console)\n(?P<text>.*?)^```', re.M | re.S)
FEWER: dict[str, dict[str, Any]] = {
    "policy": {"max_new_tokens": 6},
    "sampling": {"prompts": 6},
    "evaluation": {"every": 2, "validation_prompts": 2, "test_prompts": 2, "best_of": [2]},
}

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


def smaller(text: str) -> str:
    """The recipe of the page with fewer of everything that takes time, one method after the other."""
    values = yaml.safe_load(text)
    for part, changes in FEWER.items():
        values[part] |= changes
    return yaml.safe_dump(values | {"steps": 2, "processes": 1, "prompts": values["prompts"] | {"held_out": 6}})


def test_the_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = tiny_models.save_causal_lm(tmp_path / "model", initializer_range=0.2, layers=1)
    gguf_files.write(model, tmp_path / "model.gguf")
    said: list[tuple[str, str]] = []
    for block in BLOCK.finditer(PAGE):
        if block["title"]:
            text = smaller(block["text"]) if block["title"] == "mine.yaml" else block["text"]
            Path(block["title"]).write_text(text, encoding="utf-8")
            continue
        for line in block["text"].splitlines():
            program, first, *words = line.removeprefix("$ ").split()
            if program == "python":
                runpy.run_path(first)
                continue
            words = ["steps=1" if word == "steps=8" else word.replace("=12", "=2") for word in words]
            with monkeypatch.context() as patched:
                stopped = first == "run" and "run" not in dict(said)
                if stopped:
                    _interrupt_second_step(patched)
                done = comal(first, *words)
            assert (done.exit_code == 0) != stopped, f"{line}\n{done.output}"
            said.append((first, done.output))
    assert [first for first, _ in said] == ["plan", "run", "audit", "run", "status", "report", "certify", "eval"]
    told = dict(said)
    assert re.search(r"prompts with a cycle .* of 6 prompts", told["audit"]), "six answers of the untrained model each"
    assert "done" in told["status"]
    assert "comal" in told["certify"]
    assert read_json(Path("runs/mine/dequantised/gguf.json"))["model"] == "model.gguf"
    assert Path("runs/mine/adapter/adapter_config.json").is_file()
    assert "aligned" in told["eval"]


def _interrupt_second_step(patched: pytest.MonkeyPatch) -> None:
    stage = FileProgress.stage

    def interrupted(self: FileProgress, name: str, step: int, *rest: Any, **more: Any) -> Any:
        if step >= 1:
            raise KeyboardInterrupt
        return stage(self, name, step, *rest, **more)

    patched.setattr(FileProgress, "stage", interrupted)
