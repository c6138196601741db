"""Several runs on one page: figures of result.json, curves of every run, settings that differ."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comal.errors import RunError
from comal.pipeline.disk.files import write_json
from comal.reports.html.compare_report import labels, write_comparison
from fake_run import SCRIPT, result, write_run
from parsed_page import Element, parse


def compare(tmp_path: Path, *folders: Path) -> Element:
    return parse(write_comparison(folders, tmp_path / "comparison.html").read_text(encoding="utf-8"))


def other_result() -> dict:
    changed = result()
    changed["examples"] = []
    changed["policies"]["comal"]["worst_case"] |= {"mean": 0.521, "low": 0.51, "high": 0.532}
    return changed


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    one = write_run(tmp_path / "one")
    other = write_run(tmp_path / "other", seed=8, judge={"name": "matrix", "model": SCRIPT})
    write_json(other / "result.json", other_result())
    return one, other


def test_the_table_holds_every_policy_of_every_run_with_intervals(tmp_path: Path, two: tuple[Path, Path]) -> None:
    rows = compare(tmp_path, *two).one("section", id="figures").one("table").rows[1:]
    found = {(row[1], row[0]): row[2:] for row in rows}
    for label, values in (("one", result()), ("other", other_result())):
        for name, policy in values["policies"].items():
            worst, gap = policy["worst_case"], policy["duality_gap"]
            cells = found.pop((label, name))
            assert cells[1] == f"{worst['mean']:.1%} {100 * worst['low']:.1f}–{worst['high']:.1%}"
            assert cells[3] == f"{gap['mean']:.3f} {gap['low']:.3f} to {gap['high']:.3f}"
            if "win_rate" in policy:
                rate = policy["win_rate"]
                assert cells[0] == f"{rate['mean']:.1%} {100 * rate['low']:.1f}–{rate['high']:.1%}"
    assert not found


def test_the_headline_names_the_hardest_to_beat_and_who_is_level_with_it(
    tmp_path: Path, two: tuple[Path, Path]
) -> None:
    assert compare(tmp_path, *two).one("h1").text == (
        "comal of other is the hardest to beat: its strongest adversary beats it 52.1% of the time, "
        "within the noise of comal of one"
    )


def test_curves_of_all_runs_lie_over_each_other(tmp_path: Path, two: tuple[Path, Path]) -> None:
    tree = compare(tmp_path, *two)
    figures = {s.attributes["data-figure"]: json.loads(s.raw) for s in tree.all("script", type="application/json")}
    assert set(figures) == {"gap", "win-rate", "kl-start", "length"}
    for lines in figures.values():
        assert [(line["name"], line["colour"]) for line in lines] == [
            ("comal of one", 1), ("fixed of one", 2), ("comal of other", 1), ("fixed of other", 2),
        ]  # fmt: skip
    paths = tree.one("svg", id="gap").all("path")
    assert [p.attributes["class"] for p in paths] == ["line d0", "line d0", "line d1", "line d1"]
    boxes = {e.attributes["id"] for e in tree.all("input", type="checkbox")}
    assert boxes == {"show-m1", "show-m2", "show-r0", "show-r1"}
    groups = tree.one("svg", id="gap").all("g")
    assert [(g.attributes["class"] or "").split()[1:] for g in groups] == [
        ["m1", "r0"], ["m2", "r0"], ["m1", "r1"], ["m2", "r1"],
    ]  # fmt: skip


def test_settings_that_differ_are_marked_and_others_left_out(tmp_path: Path, two: tuple[Path, Path]) -> None:
    table = compare(tmp_path, *two).one("section", id="settings").one("table")
    assert table.rows[0] == ["setting", "one", "other"]
    rows = {row[0]: row[1:] for row in table.rows[1:]}
    assert rows["seed"] == ["7", "8"]
    assert rows["judge.name"] == ['"committee"', '"matrix"']
    assert rows["judge.aggregate"] == ['"majority"', "not there"]
    assert rows["judge.model"] == ["not there", json.dumps(SCRIPT)]
    assert {key.split(".")[0] for key in rows} == {"seed", "judge"}
    assert [m.text for m in table.all("mark")] == ["8", '"matrix"', json.dumps(SCRIPT)]


def test_runs_of_one_configuration(tmp_path: Path) -> None:
    tree = compare(tmp_path, write_run(tmp_path / "a"), write_run(tmp_path / "b"))
    assert "the runs have the same configuration" in tree.one("section", id="settings").text


def test_an_unfinished_run_takes_part_with_what_it_has(tmp_path: Path, two: tuple[Path, Path]) -> None:
    half = write_run(tmp_path / "half", steps=2, finished=False)
    tree = compare(tmp_path, two[0], half)
    assert "Not evaluated yet: 4 of 8 proximal steps are taken." in tree.text
    assert {row[1] for row in tree.one("section", id="figures").one("table").rows[1:]} == {"one"}
    assert "comal of half" in tree.one("svg", id="gap").one("desc").text


def test_runs_that_have_only_begun(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, steps=0, finished=False) for name in ("a", "b", "c")]
    tree = compare(tmp_path, *runs)
    assert tree.one("h1").text == "3 runs, none of them evaluated yet"
    assert not tree.all("figure")


def test_more_runs_than_line_styles(tmp_path: Path) -> None:
    tree = compare(tmp_path, *(write_run(tmp_path / f"run{i}", seed=i) for i in range(6)))
    styles = [p.attributes["class"] for p in tree.one("svg", id="gap").all("path")]
    assert styles[::2] == [f"line d{i % 4}" for i in range(6)]


def test_a_run_twice_is_refused(tmp_path: Path, two: tuple[Path, Path]) -> None:
    with pytest.raises(RunError, match="given twice"):
        compare(tmp_path, two[0], two[1], two[0] / ".." / "one")


def test_names_are_as_long_as_they_must_be(tmp_path: Path) -> None:
    assert labels([tmp_path / "a" / "run", tmp_path / "b" / "run"]) == ["a/run", "b/run"]
    assert labels([tmp_path / "a" / "x", tmp_path / "b" / "y"]) == ["x", "y"]
    assert labels([tmp_path / "run", tmp_path / "b" / "run"]) == [f"{tmp_path.name}/run", "b/run"]
