"""Reports of runs that are not finished, at every stage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from comal.pipeline.disk.files import write_json
from comal.reports.html.run_report import write_report
from fake_run import write_run
from parsed_page import Element, parse


def page(folder: Path) -> Element:
    return parse(write_report(folder).read_text(encoding="utf-8"))


def states(tree: Element) -> dict[str, str]:
    table = tree.one("main").all("table")[0]
    return {row[0]: row[1] for row in table.rows[1:]}


def before_supervised(folder: Path) -> None:
    write_run(folder, steps=0, finished=False)
    for name in ("comal", "fixed"):
        shutil.rmtree(folder / name)


def during_supervised(folder: Path) -> None:
    before_supervised(folder)
    write_json(folder / "progress.json", {"stage": "supervised", "step": 0, "steps": 0})


def before_methods(folder: Path) -> None:
    before_supervised(folder)
    write_json(folder / "supervised" / "supervised.json", {})


def in_the_first_step(folder: Path) -> None:
    before_methods(folder)
    (folder / "comal" / "steps" / "00000").mkdir(parents=True)
    write_json(folder / "comal" / "progress.json", {"stage": "judge", "step": 0, "steps": 4})


def during_methods(folder: Path) -> None:
    write_run(folder, steps=2, finished=False)
    shutil.rmtree(folder / "fixed")
    with (folder / "comal" / "journal.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"instruction": {"do": "pr')  # a line under way does not count


def before_evaluation(folder: Path) -> None:
    write_run(folder, finished=False)
    for name in ("comal", "fixed"):
        write_json(folder / name / "final.json", {"checkpoint": "00003", "steps": 4, "looks": [2, 4]})


STAGES = {
    before_supervised: ("it has no supervised model yet", ["○ to do"] * 4),
    during_supervised: ("it has no supervised model yet", ["▸ under way", "○ to do", "○ to do", "○ to do"]),
    before_methods: ("no proximal step has been taken yet", ["✓ done", "○ to do", "○ to do", "○ to do"]),
    in_the_first_step: ("no proximal step has been taken yet", ["✓ done", "▸ under way", "○ to do", "○ to do"]),
    during_methods: ("2 of 8 proximal steps are taken", ["✓ done", "▸ under way", "○ to do", "○ to do"]),
    before_evaluation: (
        "all steps are taken, the final evaluation is missing", ["✓ done", "✓ done", "✓ done", "○ to do"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
def test_every_stage_says_what_is_there_and_what_is_not(tmp_path: Path, stage) -> None:
    stage(tmp_path / "run")
    tree = page(tmp_path / "run")
    missing, expected = STAGES[stage]
    assert tree.one("h1").text == f"This run has not been evaluated yet: {missing}"
    assert states(tree) == dict(zip(("supervised model", "comal", "fixed", "final evaluation"), expected, strict=True))
    assert "No answers to test prompts yet" in tree.text
    assert "aligned" in tree.text
    assert len(tree.one("section", id="configuration").one("pre").text) > 100
    stepped = stage in (during_methods, before_evaluation)
    assert bool(tree.all("svg")) == stepped
    assert ("No proximal step has been taken yet." in tree.text) != stepped


def test_half_a_run_shows_its_half(tmp_path: Path) -> None:
    during_methods(tmp_path / "run")
    tree = page(tmp_path / "run")
    assert "comal 2 of 4, fixed 0 of 4" in tree.text
    names = [t.text for t in tree.one("svg", id="win-rate").all("text", class_="name")]
    assert names == ["comal"]
    assert not tree.one("section", id="policies").all("table")
    assert tree.one("section", id="cost").all("table")[0].rows[2] == ["fixed", "0", "0.0 s", "0.0 s", "0.0 s"]


def test_a_run_of_a_model_that_is_there_needs_no_supervised_stage(tmp_path: Path) -> None:
    policy = {"model": "some/model", "from_scratch": None}
    tree = page(write_run(tmp_path / "run", steps=0, finished=False, supervised=None, policy=policy))
    assert states(tree)["supervised model"] == "not needed"
    assert "some/model is being aligned" in tree.text
