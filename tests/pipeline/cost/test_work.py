"""What a run does, counted by hand for four steps of COMAL on eight prompts of four answers."""

from __future__ import annotations

from pathlib import Path

import pytest

import tiny_run
from comal.errors import ConfigError
from comal.pipeline.cost.work import Known, work_of
from comal.pipeline.run.resolved import resolve
from comal.recipes.load import validate

KNOWN = Known(pairs=100, validation=2, test=2)


def counted(folder: Path, *by: str, known: Known = KNOWN, **changes) -> dict[tuple[str, ...], float]:
    tasks = work_of(resolve(validate(tiny_run.values(folder, **changes))), known)
    found: dict[tuple[str, ...], float] = {}
    for task in tasks:
        key = tuple(getattr(task, name) for name in by)
        found[key] = found.get(key, 0) + task.units
    return found


def test_the_steps(tmp_path: Path) -> None:
    """The start draws the first step's answers, and scores until the reference moves after the second step.

    Scored are the policy's answers by the policy and, where it is another one, by the reference: 32 in the first step
    and in the third, 64 in the others. Of eight prompts two are held out of training, and scored after it.
    """
    found = counted(tmp_path, "stage", "unit")
    assert found["sample", "start's answer"] == 32
    assert found["sample", "answer"] == 3 * 32
    assert found["score", "answer scored by the start"] == 2 * 32
    assert found["score", "scored answer"] == 4 * 32
    assert found["judge", "pair"] == 4 * 8 * 6
    assert found["train", "prompt"] == 4 * 6
    assert found["train", "scored answer"] == 4 * 2 * 4


def test_the_supervised_stage(tmp_path: Path) -> None:
    found = counted(tmp_path, "stage", "unit")
    assert found["supervised", "row"] == 2 * 100
    assert found["supervised", "checkpoint"] == 10


def test_looks_and_the_final_evaluation(tmp_path: Path) -> None:
    """Two looks of two prompts and two answers: against the start, then against it and two earlier policies.

    Best-of-2 of the start meets both answers. In the end the start, the last and an earlier policy are scored on two
    prompts: each against two others of two answers, and best-of-2 of the start and, but for the start, of itself.
    """
    found = counted(tmp_path, "stage", "unit")
    assert found["look", "answer"] == 2 * 2 * 2
    assert found["look", "start's answer"] == 2 * (2 + 2)
    assert found["look", "evaluated pair"] == 2 * ((1 + 3) * 4 + 2 * 4)
    assert found["final evaluation", "answer"] == 2 * 2 * (2 + 2)
    assert found["final evaluation", "start's answer"] == 2 * (2 + 2)
    cycles = 2 * 6  # among two answers each of the start and the last policy
    assert found["final evaluation", "evaluated pair"] == 2 * (3 * 2 * 4 + 4 * (1 + 2 + 2)) + cycles


def test_classes_are_adversaries_with_one_answer(tmp_path: Path) -> None:
    plain, classes = (
        counted(tmp_path, "stage", "unit", known=Known(100, 2, 2, classes)) for classes in (0, 3)
    )  # fmt: skip
    more = {key: classes[key] - plain[key] for key in plain if classes[key] != plain[key]}
    assert more == {("look", "evaluated pair"): 2 * 2 * 3 * 2, ("final evaluation", "evaluated pair"): 2 * 3 * 3 * 2}


def test_methods_side_by_side_have_processes_of_their_own(tmp_path: Path) -> None:
    others = {"baselines": {"other": tiny_run.INPO}}
    assert counted(tmp_path, "unit", **others)[("process",)] == 1
    assert counted(tmp_path, "unit", **others, processes=2)[("process",)] == 3
    by_method = counted(tmp_path, "method", "unit", **others, processes=2)
    assert by_method["other", "prompt"] == by_method["comal", "prompt"] == 24


def test_a_second_policy_that_is_met_is_drawn_too(tmp_path: Path) -> None:
    """OMWU meets its last policy as well; it is the present one, and the start, at its first step."""
    found = counted(tmp_path, "stage", "unit", algorithm={"name": "omwu", "eta": 1.0})
    assert found["sample", "start's answer"] == 2 * 32
    assert found["sample", "answer"] == (4 + 3) * 32 - 2 * 32


def test_online_steps_are_refused_in_one_sentence(tmp_path: Path) -> None:
    values = tiny_run.values(tmp_path, {"name": "online_grpo", "tau": 0.1, "updates": 2})
    with pytest.raises(ConfigError, match=r"loop of TRL's.*--set steps=1"):
        work_of(resolve(validate(values)), KNOWN)
