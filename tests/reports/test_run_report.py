"""The report says what the artifacts say, whatever is missing, and shows other people's text as text."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from comal.errors import RunError
from comal.pipeline.folder import write_json
from comal.reports.curves import running_mean
from comal.reports.run_report import duration, write_report
from fake_run import SCRIPT, result, write_run


def page(folder: Path) -> str:
    write_report(folder)
    return (folder / "report.html").read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Tags of a page; fails on one that is closed without having been opened last."""

    VOID = frozenset({"meta", "line", "circle", "path", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def words(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def test_the_numbers_are_those_of_result_json(tmp_path: Path) -> None:
    shown = words(page(write_run(tmp_path / "run")))
    for policy in result()["policies"].values():
        assert f"{policy['worst_case']['mean']:.1%}" in shown
        assert f"{policy['duality_gap']['mean']:.3f}" in shown
        for rate in policy["adversaries"].values():
            assert f"{rate['mean']:.1%}" in shown
            assert f"{100 * rate['low']:.1f}–{rate['high']:.1%}" in shown
    assert "61.1%" in shown
    assert "84% of the test prompts" in shown


def test_the_verdict_leads(tmp_path: Path) -> None:
    text = page(write_run(tmp_path / "run"))
    assert re.search(r"<h1>comal is the hardest to beat: its strongest adversary beats it 54.3% of the time</h1>", text)
    assert "fixed looks best: 65.4% (63.4–67.4%)" in words(text)
    assert "its interval is apart from the other's" in words(text).replace("&#39;", "'")
    assert "command beats label 90% of the time, label beats description 90%, and description beats command 90%" in text
    assert "comal and fixed each take 4 proximal steps from the same starting model, at 960 judged pairs" in text
    assert "command 33%, label 33%, description 33%" in text


def test_overlapping_intervals_separate_nothing(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    changed = result()
    changed["examples"] = []
    changed["policies"]["fixed"]["worst_case"]["low"] = 0.55
    changed["policies"]["comal"]["worst_case"]["low"] = 0.49
    write_json(folder / "result.json", changed)
    text = words(page(folder))
    assert "looks hardest to beat, though not clearly" in text
    assert "cannot be told from an even match" in text
    assert "overlaps that of fixed: this run does not separate them" in text
    assert "No adversary tried beats comal more than half of the time" in text


def test_a_baseline_that_is_harder_to_beat_is_said_to_be(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    changed = result()
    changed["examples"] = []
    changed["policies"]["fixed"]["worst_case"] |= {"mean": 0.51, "low": 0.505, "high": 0.515}
    changed["policies"]["fixed"]["worst_case"]["adversaries"] = ["comal", "start"]
    write_json(folder / "result.json", changed)
    text = words(page(folder))
    assert "fixed is the hardest to beat" in text
    assert "loses to “comal” or “start” (each the choice of half of the prompts)" in text
    assert "the delivered model (folder model) is that of comal" in text


def test_prompts_and_answers_are_shown_as_text(tmp_path: Path) -> None:
    text = page(write_run(tmp_path / "run"))
    assert SCRIPT not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; 0" in text
    assert "Return &lt;b&gt;0&lt;/b&gt; &amp; co." in text
    assert "(empty)" in text
    assert "script" not in Tags(text).seen


def test_names_from_outside_are_shown_as_text(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", name=SCRIPT, judge={"name": SCRIPT, "model": SCRIPT})
    changed = result()
    changed["examples"] = []
    changed["policies"]["comal"]["adversaries"][f'only "{SCRIPT}'] = {**changed["policies"]["comal"]["win_rate"]}
    write_json(folder / "result.json", changed)
    text = page(folder)
    assert SCRIPT not in text
    assert "script" not in Tags(text).seen


def test_the_page_asks_for_nothing_from_elsewhere(tmp_path: Path) -> None:
    text = page(write_run(tmp_path / "run"))
    assert "default-src 'none'" in text
    assert not {"script", "link", "img", "iframe"} & set(Tags(text).seen)
    assert not re.search(r"https?://|@import|url\(", text)


def test_curves_carry_the_names_and_the_reference_moves(tmp_path: Path) -> None:
    text = page(write_run(tmp_path / "run"))
    assert text.count('class="move"') == 4  # one move of comal in each of the four figures over steps
    assert text.count('class="star"') == 2  # one triangle a method
    assert text.count('class="name"') == 4 * 2 + 2 * 4  # methods in figures over steps, classes in those of shares


def test_an_unfinished_run_says_what_is_missing(tmp_path: Path) -> None:
    text = words(page(write_run(tmp_path / "run", steps=2, finished=False)))
    assert "has not been evaluated yet" in text
    assert "comal 2 of 4, fixed 2 of 4" in text
    assert "Win rate against the start" in text
    assert "No answers to test prompts yet" in text


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    text = page(write_run(tmp_path / "run", steps=0, finished=False))
    Tags(text)
    assert "No proximal step has been taken yet." in text
    assert "<svg" not in text


def test_a_step_under_way_does_not_count(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", steps=2, finished=False)
    with (folder / "comal" / "journal.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"instruction": {"do": "pr')
    assert "comal 2 of 4" in words(page(folder))


@pytest.mark.parametrize("classes", [None, "no_such_module:classify", "json:loads"])
def test_without_classes_the_rest_stands(tmp_path: Path, classes: str | None) -> None:
    text = page(write_run(tmp_path / "run", evaluation={"judge": None, "classes": classes}))
    assert 'class="star"' not in text
    assert "Between classes" not in text
    assert "comal is the hardest to beat" in text


def test_two_classes_make_no_triangle(tmp_path: Path) -> None:
    text = page(write_run(tmp_path / "run", evaluation={"judge": None, "classes": "fake_run:two_classes"}))
    assert 'class="outline"' not in text
    assert "Shares of the classes" in text


def test_the_same_artifacts_make_the_same_page(tmp_path: Path) -> None:
    assert page(write_run(tmp_path / "one")) == page(write_run(tmp_path / "two"))


def test_a_single_method_against_its_start(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", baselines={})
    changed = result()
    changed["examples"] = []
    changed["methods"] = ["comal"]
    del changed["policies"]["fixed"]
    write_json(folder / "result.json", changed)
    assert "<h1>comal: its strongest adversary beats it 54.3% of the time</h1>" in page(folder)


def test_no_run_no_report(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run here"):
        write_report(tmp_path)


def test_reports_load_no_torch() -> None:
    code = "import sys, comal.reports.run_report, comal.reports.run_figure; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (7.26, "7.3 s"), (59.96, "1 min 0 s"), (75, "1 min 15 s"), (7300, "2 h 1 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_running_means_keep_ends_and_straight_lines() -> None:
    assert running_mean([0, 1, 2, 3, 4], 5) == [0, 1, 2, 3, 4]
    assert running_mean([0, 9, 0, 0], 3) == [0, 3, 3, 0]
    assert running_mean([], 5) == []


def test_long_runs_say_that_curves_are_smoothed(tmp_path: Path) -> None:
    assert "mean of 5 steps" in page(write_run(tmp_path / "run", steps=22, planned=22))
