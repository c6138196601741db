"""One step of a small run, measured on the next one's answers: what it asks by hand, and longer steps that get more."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

import gguf_files
import tiny_models
from comal.pipeline.disk.files import read_table
from comal.pipeline.disk.layout import RunFolder
from command_line import comal

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

KINDS = ("brief", "list", "prose")


def kind_of(text: str) -> str:
    return KINDS[len(text) % 3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("step")
    model = tiny_models.save_causal_lm(place / "model", initializer_range=0.2, layers=1)
    settings = {
        "policy.model": gguf_files.write(model, place / "tiny.gguf"), "steps": 2, "policy.max_new_tokens": 6,
        "processes": 1, "baselines": "{}", "sampling.prompts": 6, "sampling.samples": 6, "supervised.data.limit": 20,
        "evaluation.every": 2, "evaluation.validation_prompts": 2, "evaluation.test_prompts": 2,
        "evaluation.samples": 2, "evaluation.best_of": "[2]",
        "judge": '{name: rules, rules: [{measure: characters}], sharpness: 0.5}',
    }  # fmt: skip
    changes = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    ran = comal("run", "chat", "--output-dir", str(place / "run"), *changes)
    assert ran.exit_code == 0, ran.output
    return place / "run"


def test_what_is_asked_is_what_the_win_rates_say(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chat_step = importlib.import_module("chat_step")
    monkeypatch.setattr(chat_step, "kind_of", kind_of)
    got = []
    for rate in (1e-6, 1e-1):
        chat_step.main([str(folder), f"learning_rate={rate}", f"final_learning_rate={rate}"])
        rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if " over " in line]
        assert [row[0] for row in rows] == ["list over prose", "list over brief", "prose over brief"]
        got.append([abs(float(row[2].split()[0])) for row in rows])
    first = RunFolder(folder).method("comal").step_folders()[0]
    won = np.array(read_table(first.targets)["win_rate"])
    kinds = np.array([kind_of(text) for text in read_table(first.samples)["text"]])
    eta = RunFolder(folder).recipe().algorithm["inner"]["eta"]
    asked = eta * (won[kinds == "list"].mean() - won[kinds == "prose"].mean())
    assert float(rows[0][1]) == pytest.approx(asked, abs=0.005)
    assert max(got[0]) < 0.01 < max(got[1])


def test_a_kind_that_nobody_drew_has_no_figure(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chat_step = importlib.import_module("chat_step")
    monkeypatch.setattr(chat_step, "kind_of", lambda text: "brief" if len(text) % 2 else "prose")
    chat_step.main([str(folder)])
    printed = capsys.readouterr().out
    assert "| list over brief | not both drawn | |" in printed
    assert "| prose over brief | not" not in printed
