"""A run told to trackers: every line once, the steps as x axis, one run there for one here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import fake_run
from comal.errors import ConfigError
from comal.reports.trackers.figures import run_figures
from comal.reports.trackers.follow import STEP, Follower, check_trackers, open_tracker
from command_line import comal, refused

METHODS = ("comal", "fixed")


class Recorder:
    """A tracker that remembers."""

    def __init__(self, name: str, folder: Path, run: str, id_: str) -> None:
        self.opened = (name, folder, run, id_)
        self.logged: list[tuple[int | None, dict[str, Any]]] = []
        self.finished = False

    def log(self, values: dict[str, Any], step: int | None = None) -> None:
        self.logged.append((step, values))

    def finish(self) -> None:
        self.finished = True


class Recorders(list[Recorder]):
    """Opens them."""

    def __call__(self, *opened: Any) -> Recorder:
        self.append(Recorder(*opened))
        return self[-1]


def told(folder: Path, opener: Any, trackers: tuple[str, ...] = ("tensorboard",)) -> list[str]:
    warnings: list[str] = []
    with Follower(folder, METHODS, trackers, warnings.append, opener):
        pass
    return warnings


def test_a_run_is_numbers_over_proximal_steps(tmp_path: Path) -> None:
    folder = fake_run.write_run(tmp_path / "run")
    found = list(run_figures(folder, METHODS))
    steps = [f for f in found if f.key.startswith("comal:") and "look" not in f.key]
    assert [f.step for f in steps] == [1, 2, 2, 3, 4], "a copy of the reference is no step"
    first = steps[0].values
    assert first["comal/step/slope"] == pytest.approx(0.3)
    assert first["comal/seconds/train"] == 2.0
    assert [f.values["comal/total/judge_calls"] for f in steps] == [100, 200, 200, 300, 400]
    looks = {f.step: f.values for f in found if f.key.startswith("fixed:look")}
    assert set(looks) == {2, 4}
    assert looks[4]["fixed/validation/win_rate"] == pytest.approx(0.58)
    assert looks[2]["fixed/validation/duality_gap"] == pytest.approx(2 * 0.66 - 1)


def test_every_line_is_told_once_and_a_continued_run_is_the_same_run_there(tmp_path: Path) -> None:
    whole = fake_run.write_run(tmp_path / "whole")
    folder = fake_run.write_run(tmp_path / "run", steps=2, planned=4, finished=False)
    recorders = Recorders()
    assert told(folder, recorders) == []
    before = len(recorders[0].logged)
    assert 0 < before == len(list(run_figures(folder, METHODS)))
    for method in METHODS:
        shutil.rmtree(folder / method)
        shutil.copytree(whole / method, folder / method)
    assert told(folder, recorders) == []
    assert told(folder, recorders) == []
    assert [len(r.logged) for r in recorders] == [before, len(list(run_figures(whole, METHODS))) - before, 0]
    assert len({r.opened for r in recorders}) == 1, "one name, one folder, one id"
    assert all(r.finished for r in recorders)
    assert all(values[STEP] == step for r in recorders for step, values in r.logged)


def test_a_tracker_that_fails_ends_its_own_telling_only(tmp_path: Path) -> None:
    folder = fake_run.write_run(tmp_path / "run")
    recorders = Recorders()

    class Failing(Recorder):
        def log(self, values: dict[str, Any], step: int | None = None) -> None:
            if len(self.logged) == 3:
                raise ConnectionError("no network")
            super().log(values, step)

    failing: list[Failing] = []

    def opener(name: str, *rest: Any) -> Recorder:
        if name == "wandb":
            failing.append(Failing(name, *rest))
            return failing[-1]
        return recorders(name, *rest)

    warnings = told(folder, opener, ("wandb", "tensorboard"))
    assert warnings == ["wandb is not told any more: ConnectionError: no network"]
    everything = len(list(run_figures(folder, METHODS)))
    assert len(recorders[0].logged) == everything
    told(folder, recorders, ("wandb",))
    assert len(recorders[-1].logged) == everything - 3, "the next time it goes on where it failed"


def test_one_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    def opener(*_: Any) -> Recorder:
        raise ValueError("no account")

    folder = fake_run.write_run(tmp_path / "run")
    assert told(folder, opener) == ["tensorboard is not told any more: ValueError: no account"]


def test_trackers_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"--track: `wandbb` is no tracker. Did you mean `wandb`"):
        check_trackers(["wandbb"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="wandb is not installed; pip install wandb"):
        check_trackers(["wandb"])
    monkeypatch.undo()
    refused(comal("run", "--track", "tensorbord"), "Did you mean `tensorboard`")


def test_tensorboard_has_one_run_with_every_step(tmp_path: Path) -> None:
    events = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
    )
    folder = fake_run.write_run(tmp_path / "run", steps=2, planned=4, finished=False)
    assert told(folder, open_tracker) == []
    whole = fake_run.write_run(tmp_path / "whole")
    shutil.copytree(whole, folder, dirs_exist_ok=True)
    assert told(folder, open_tracker) == []
    found = events.EventAccumulator(str(folder / "trackers" / "tensorboard"))
    found.Reload()
    slopes = found.Scalars("comal/step/slope")
    assert [(e.step, pytest.approx(e.value)) for e in slopes] == [(1, 0.3), (2, 0.4), (3, 0.5), (4, 0.6)]


def test_wandb_offline_keeps_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    folder = fake_run.write_run(tmp_path / "run")
    assert told(folder, open_tracker, ("wandb",)) == []
    id_ = json.loads((folder / "trackers" / "told.json").read_text())["wandb"]["id"]
    (kept,) = (folder / "trackers" / "wandb").glob("offline-run-*")
    assert kept.name.endswith(id_)
