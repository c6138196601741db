"""What a run's folder says about where the run is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

import pytest

from comal.algorithms.base import POLICY, REFERENCE, Certify, Copy, PlayOnline, ProxStep, Report, Step, against, only
from comal.pipeline.disk.files import read_json
from comal.pipeline.disk.journal import FileJournal
from comal.pipeline.disk.progress import FileProgress, OrphanedError, read_state

STEPS = (ProxStep(only(POLICY), against(POLICY), 1.0), PlayOnline(tau=0.1, eta=1.0, updates=2))


def test_every_kind_of_step_is_counted_and_nothing_else(tmp_path: Path) -> None:
    assert {type(step) for step in STEPS} == set(get_args(Step))
    for name, steps in {"prox": STEPS[:1], "play": STEPS[1:]}.items():
        (tmp_path / name).mkdir()
        journal = FileJournal(tmp_path / name / "journal.jsonl")
        for index, instruction in enumerate((*steps, Certify(0.1), Copy(POLICY, REFERENCE), *steps)):
            journal.append(index, instruction, Report())
    state = read_state(tmp_path, ["prox", "play", "later"], 5)
    assert {m.name: m.steps for m in state.methods} == {"prox": 2, "play": 2, "later": 0}
    assert state.steps == 4


def test_a_stage_that_begins_at_once_after_another_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a resume, where samples are there already; a clock that stands still leaves no room for luck."""
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    progress = FileProgress(tmp_path / "comal" / "progress.json", 4)
    for name, step in (("sample", 0), ("judge", 0), ("judge", 1)):
        progress.stage(name, step)
        assert read_json(progress.path) == {"stage": name, "step": step, "steps": 4}
    assert read_state(tmp_path, ["comal"], 4).methods[0].stage == "judge"


def test_the_same_stage_is_not_written_again(tmp_path: Path) -> None:
    progress = FileProgress(tmp_path / "progress.json", 4)
    progress.stage("judge", 0)
    progress.path.unlink()
    progress.stage("judge", 0)
    assert not progress.path.exists()


def test_an_orphan_ends_even_where_nothing_has_changed(tmp_path: Path) -> None:
    progress = FileProgress(tmp_path / "progress.json", 4, parent=os.getppid())
    progress.stage("judge", 0)
    progress.parent = os.getpid()
    with pytest.raises(OrphanedError):
        progress.stage("judge", 0)
