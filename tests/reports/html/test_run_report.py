"""The report says what the artifacts say, with intervals, whatever is missing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from comal.errors import RunError
from comal.pipeline.disk.files import read_json, write_json
from comal.records import read_plain
from comal.reports.html.run_report import write_report
from fake_run import result, write_run
from parsed_page import Element, parse


def page(folder: Path) -> Element:
    return parse(write_report(folder).read_text(encoding="utf-8"))


def spans(estimate: dict[str, float]) -> str:
    return f"{100 * estimate['low']:.1f}–{estimate['high']:.1%}"


def test_every_policy_stands_in_the_tables_with_its_figures(tmp_path: Path) -> None:
    sections = {s.attributes["id"]: s for s in page(write_run(tmp_path / "run")).all("section")}
    rows = {row[0]: row for row in sections["policies"].one("table").rows[1:]}
    adversaries = sections["cross-play"].all("table")[1:]
    for (name, policy), table in zip(result()["policies"].items(), adversaries, strict=True):
        shown = " ".join(rows[name])
        worst, gap = policy["worst_case"], policy["duality_gap"]
        assert f"{worst['mean']:.1%} {spans(worst)} only label" in shown
        assert f"{gap['mean']:.3f} {gap['low']:.3f} to {gap['high']:.3f}" in shown
        if "win_rate" in policy:
            assert f"{policy['win_rate']['mean']:.1%} {spans(policy['win_rate'])}" in shown
            assert f"{policy['kl_start']['mean']:.2f} {policy['kl_start']['low']:.2f} to" in shown
        listed = {row[0]: row[1:] for row in table.rows[1:]}
        assert listed == {
            other: [f"{rate['mean']:.1%} {spans(rate)}", "50", "0"] for other, rate in policy["adversaries"].items()
        }


def test_the_cross_play_table_is_read_without_colour(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    table = page(folder).one("section", id="cross-play").all("table")[0]
    assert table.rows[0] == ["", "start", "comal", "fixed"]
    cells = {row[0]: row[1:] for row in table.rows[1:]}
    assert list(cells) == ["start", "comal", "fixed", "comal@2"]  # the pool's earlier policies come last
    policies = result()["policies"]
    for column, name in enumerate(policies):
        for row in cells:
            rate = policies[name]["adversaries"].get(row)
            if rate is None:
                assert cells[row][column] == "–"
                continue
            sign = "▲" if rate["low"] > 0.5 else "▼" if rate["high"] < 0.5 else "≈"
            low, high = 100 * rate["low"], 100 * rate["high"]
            assert cells[row][column] == f"{sign} {100 * rate['mean']:.1f} {low:.1f}–{high:.1f}"
    assert {cells["fixed"][0][0], cells["start"][1][0], cells["fixed"][1][0]} == {"▲", "▼", "≈"}


def test_the_verdict_leads(tmp_path: Path) -> None:
    tree = page(write_run(tmp_path / "run"))
    assert tree.one("h1").text == "comal is the hardest to beat: its strongest adversary beats it 54.3% of the time"
    main = tree.one("main")
    assert [e.tag for e in main.children if isinstance(e, Element)][:2] == ["h1", "dl"]
    facts = dict(zip([e.text for e in tree.all("dt")], [e.text for e in tree.all("dd")], strict=True))
    assert facts == {
        "Aligned": "A small language model trained on the spot (2 layers of width 64), to a committee of 3 judges "
        "(docstring_style) that decides by majority vote",
        "comal beats the supervised model": "61.1% of the time (59.1–63.1%)",
        "comal's exploitability, at least": "4.3 points (2.3 to 6.3): the strongest adversary beats it 54.3% of the "
        "time (52.3–56.3%)",
        "The judge's cycles": "84% of the test prompts have sampled answers that beat one another in a strict circle",
    }
    text = tree.text
    assert "fixed looks best: 65.4% (63.4–67.4%)" in text
    assert "its interval is apart from the other's" in text
    assert "command beats label 90% of the time, label beats description 90%, and description beats command 90%" in text
    assert "comal and fixed each take 4 proximal steps from the same starting model, at 960 judged pairs" in text
    assert "command 33%, label 33%, description 33%" in text


def test_a_comparison_prompt_by_prompt_separates_what_intervals_cannot(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    changed = result()
    changed["examples"] = []
    changed["policies"]["fixed"]["worst_case"]["low"] = 0.55
    for low, words in (
        (0.004, "its strongest adversary wins less often than the other's"),
        (-0.004, "not separate them"),
    ):
        excess = {"mean": 0.02, "low": low, "high": 0.04 - low, "prompts": 50, "missing": 0}
        changed["policies"]["fixed"]["worst_case_excess"] = excess
        write_json(folder / "result.json", changed)
        assert words in page(folder).text


def test_overlapping_intervals_separate_nothing(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    changed = result()
    changed["examples"] = []
    changed["policies"]["fixed"]["worst_case"]["low"] = 0.55
    changed["policies"]["comal"]["worst_case"]["low"] = 0.49
    write_json(folder / "result.json", changed)
    text = page(folder).text
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
    text = page(folder).text
    assert "fixed is the hardest to beat" in text
    assert "loses to “comal” or “start” (each the choice of half of the prompts)" in text
    assert "the delivered model (folder model) is that of comal" in text


def test_curves_carry_names_values_and_the_reference_moves(tmp_path: Path) -> None:
    tree = page(write_run(tmp_path / "run"))
    figures = {svg.attributes["id"]: svg for svg in tree.all("svg")}
    course = ["gap", "win-rate", "kl-start", "kl-reference", "slope"]
    assert set(figures) == {
        "beats-start", "exposed", *course, "length", "unfinished", "path-0", "path-1", "shares-0", "shares-1",
        "seconds",
    }  # fmt: skip
    for name in [*course, "length", "unfinished"]:
        assert [t.text for t in figures[name].all("text", class_="name")] == ["comal", "fixed"]
        assert len(figures[name].all("line", class_="move")) == 1, "one move of comal's reference"
    data = {s.attributes["data-figure"]: json.loads(s.raw) for s in tree.all("script", type="application/json")}
    assert set(data) == {*course, "length", "unfinished", "shares-0", "shares-1"}
    (comal, fixed) = data["gap"]
    look = read_json(tmp_path / "run" / "comal" / "looks" / "00002.json")["duality_gap"]
    assert comal["name"] == "comal"
    assert comal["points"][0][2:] == ["2", f"{look['mean']:.3g} ({look['low']:.3g} to {look['high']:.3g})"]
    assert [p[2] for p in fixed["points"]] == ["2", "4"]
    assert [p[2:] for p in data["length"][0]["points"]] == [[f"{s}", f"{5 + s}"] for s in range(4)]
    assert [p[2:] for p in data["kl-reference"][0]["points"]] == [
        ["0", "0"],
        ["1", "0.05"],
        ["2", "0.1"],
        ["3", "0.15"],
    ]
    assert figures["length"].one("desc").text == "comal: 5 at step 0, 8 at step 3; fixed: 5 at step 0, 8 at step 3"


def test_the_looks_are_there_as_a_table(tmp_path: Path) -> None:
    rows = page(write_run(tmp_path / "run")).one("section", id="course").one("table").rows[1:]
    assert [row[:3] for row in rows] == [
        ["comal", "2", "54.0% 52.0–56.0%"], ["comal", "4", "58.0% 56.0–60.0%"],
        ["fixed", "2", "54.0% 52.0–56.0%"], ["fixed", "4", "58.0% 56.0–60.0%"],
    ]  # fmt: skip


def test_cost_and_time_are_summed_over_the_steps(tmp_path: Path) -> None:
    section = page(write_run(tmp_path / "run")).one("section", id="cost")
    times, counts = (table.rows for table in section.all("table"))
    assert times[1] == ["comal", "4", "6.0 s", "8.0 s", "14.0 s"]
    answers = [4 * 3 + step for step in range(4)]  # as fake_run writes them; mean tokens are 5, 6, 7, 8
    tokens = sum(n * (5 + step) for step, n in enumerate(answers))
    assert counts[1] == ["comal", str(sum(answers)), str(tokens), "960", "400", "160"]
    assert "supervised 3.2 s, methods 1 min 15 s, evaluation 2 h 1 min" in section.text


def test_what_it_was_like_to_ask(tmp_path: Path) -> None:
    rows = page(write_run(tmp_path / "run")).one("section", id="judge").all("table")[-1].rows[1:]
    # Four steps a method of 10 questions with 1 failure, 8 in both orders with 2 flips, 0.4 / 8 = 5 points too much.
    assert [row[0] for row in rows] == ["training of comal", "training of fixed", "validation prompts", "test prompts"]
    assert rows[0][1] == "40"
    assert re.fullmatch(r"4, 10\.0% \(4\.0–23\.1%\)", rows[0][2])  # Wilson, 4 of 40
    assert re.fullmatch(r"25\.0% \(13\.3–42\.1%\)", rows[0][3])  # Wilson, 8 of 32
    assert rows[0][4] == "+5.0 points"
    assert rows[3][1] == "10"


def test_sample_answers_stand_side_by_side(tmp_path: Path) -> None:
    section = page(write_run(tmp_path / "run")).one("section", id="answers")
    examples = section.all("article")
    assert len(examples) == 8
    assert [p.text for p in examples[0].all("p", class_="who")] == [
        "start · malformed", "comal · command", "fixed · malformed",
    ]  # fmt: skip
    assert len(section.one("details").all("article")) == 2
    assert section.one("input", type="search").attributes["id"] == section.one("label").attributes["for"]


def test_long_answers_are_cut_to_keep_the_page_small(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    changed = result()
    answers = dict.fromkeys(("start", "comal", "fixed"), "wordy " * 20000)
    changed["examples"] = [{"prompt": "why? " * 9_000, "answers": answers}] * 40
    write_json(folder / "result.json", changed)
    text = page(folder).text
    assert "more characters)" in text
    assert (folder / "report.html").stat().st_size < 1_500_000


def test_the_recipe_is_shown_whole_and_is_a_recipe_again(tmp_path: Path) -> None:
    import yaml

    folder = write_run(tmp_path / "run")
    shown = page(folder).one("pre", id="recipe").raw
    assert yaml.safe_load(shown) == read_json(folder / "run.json")["recipe"]


def test_provenance(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    assert "recorded neither libraries nor machine" in page(folder).text
    assert "comal run fake.yaml" in page(folder).text
    session = {
        "began": "2025-01-02T03:04:05+00:00", "comal": "1.2.3", "commit": "ab" * 20 + "+changes", "python": "3.12.1",
        "libraries": {"torch": "2.8.0"}, "processes": 1, "command": "comal run mine.yaml --set seed=7",
        "machine": {"system": "Linux x86_64", "processor": "A CPU", "cores": 2, "memory_gib": 7.5, "accelerators": []},
    }  # fmt: skip
    write_json(folder / "provenance.json", {"sessions": [session]})
    section = page(folder).one("section", id="provenance")
    assert section.all("pre")[0].text == "comal run mine.yaml --set seed=7"
    rows = dict(section.one("table").rows[1:])
    assert rows["began"] == "2025-01-02 03:04:05 UTC"
    assert rows["commit"] == "ab" * 20 + ", with changes"
    assert rows["torch"] == "2.8.0"
    assert rows["machine"] == "Linux x86_64, A CPU, 2 cores, 7.5 GiB memory, no accelerator"
    later = session | {"libraries": {"torch": "2.9.0"}, "machine": {}}
    write_json(folder / "provenance.json", {"sessions": [session, later]})
    section = page(folder).one("section", id="provenance")
    rows = {row[0]: row[1:] for row in section.one("table").rows}
    assert rows["what"] == ["session 1", "session 2"]
    assert rows["torch"] == ["2.8.0", "2.9.0"]
    assert rows["machine"][1] == "unknown"


@pytest.mark.parametrize("classes", [None, "no_such_module:classify", "json:loads"])
def test_without_classes_the_rest_stands(tmp_path: Path, classes: str | None) -> None:
    tree = page(write_run(tmp_path / "run", evaluation={"judge": None, "classes": classes}))
    assert not tree.all("path", class_="star")
    assert "Between classes" not in tree.text
    assert "comal is the hardest to beat" in tree.text


def test_two_classes_make_no_triangle(tmp_path: Path) -> None:
    tree = page(write_run(tmp_path / "run", evaluation={"judge": None, "classes": "fake_run:two_classes"}))
    assert not tree.all("path", class_="outline")
    assert "Shares of the classes" in tree.text


def test_the_same_artifacts_make_the_same_page(tmp_path: Path) -> None:
    one, two = (write_report(write_run(tmp_path / name)).read_bytes() for name in ("one", "two"))
    assert one == two


def test_a_single_method_against_its_start(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", baselines={})
    changed = result()
    changed["examples"] = []
    changed["methods"] = ["comal"]
    del changed["policies"]["fixed"]
    write_json(folder / "result.json", changed)
    tree = page(folder)
    assert tree.one("h1").text == "comal: its strongest adversary beats it 54.3% of the time"
    assert not tree.one("section", id="course").all("input"), "nothing to choose from"


def test_no_run_no_report(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run here"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("run.json", "{"),
        ("run.json", "[]"),
        ("run.json", '{"comal": "1"}'),
        ("result.json", "{"),
        ("comal/journal.jsonl", "nonsense\n"),
        ("comal/looks/00002.json", ""),
        ("audit.json", "{"),
        ("certify/comal/certificate.json", "x"),
        ("provenance.json", "[]"),
        ("timing.json", '{"methods": "long"}'),
    ],
)
def test_a_file_that_is_damaged_is_named(tmp_path: Path, file: str, content: str) -> None:
    folder = write_run(tmp_path / "run")
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(content)
    with pytest.raises(RunError) as raised:
        write_report(folder)
    assert raised.value.place == str(folder / file)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("file", "wrong", "told"),
    [
        ("result.json", {"cyclic_prompts": None}, "`cyclic_prompts` is no number, got null"),
        ("result.json", {"methods": ["comal", "other"]}, "the method `other` is not among the policies"),
        ("result.json", {"policies": {"start": {}}}, "`policies.start.worst_case` is missing"),
        ("result.json", {"policies": []}, "`policies` is no object, got []"),
        ("result.json", {"test_prompts": "50"}, '`test_prompts` is no whole number, got "50"'),
        ("result.json", {"examples": [{"prompt": 1, "answers": {}}]}, "`examples.0.prompt` is no text"),
        ("comal/looks/00002.json", {"kl_start": True}, "`kl_start` is no number, got true"),
        ("comal/looks/00002.json", {"oracle": {"questions": 1.5}}, "`oracle.questions` is no whole number"),
        ("comal/looks/00002.json", {"adversaries": {"start": {}}}, "`adversaries.start.mean` is missing"),
        ("provenance.json", {"sessions": [{"libraries": {"torch": 2}}]}, "`sessions.0.libraries.torch` is no text"),
    ],
)
def test_a_wrong_field_is_named_with_its_file(tmp_path: Path, file: str, wrong: dict, told: str) -> None:
    folder = write_run(tmp_path / "run")
    path = folder / file
    path.write_text(json.dumps((read_plain(path) if path.is_file() else {}) | wrong), encoding="utf-8")
    with pytest.raises(RunError) as raised:
        write_report(folder)
    assert raised.value.place == str(path)
    assert told in raised.value.problem


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{}", "`index` is missing"),
        ("3", "expected an object, got 3"),
        ('{"index": 0, "instruction": {"do": "fly"}, "report": {}, "metrics": {}}', "no instruction 'fly'"),
        ('{"index": 0, "instruction": {"do": "copy", "src": "a"}, "report": {}, "metrics": {}}', "`out` is missing"),
        ('{"index": 0, "instruction": {"do": "copy", "src": "a", "out": "b"}, "report": {}, "metrics": {"slope": "x"}}',
         "`metrics.slope` is no number"),
    ],
)  # fmt: skip
def test_a_wrong_line_of_a_journal_is_named(tmp_path: Path, line: str, told: str) -> None:
    folder = write_run(tmp_path / "run")
    journal = folder / "comal" / "journal.jsonl"
    journal.write_text(f"{journal.read_text()}{line}\n")
    with pytest.raises(RunError) as raised:
        write_report(folder)
    assert raised.value.place == f"{journal}:6"
    assert told in raised.value.problem


@pytest.mark.parametrize("file", ["result.json", "comal/looks/00002.json", "provenance.json"])
def test_what_a_newer_version_added_is_left_alone(tmp_path: Path, file: str) -> None:
    folder = write_run(tmp_path / "run")
    write_json(folder / "provenance.json", {"sessions": []})
    before = write_report(folder).read_bytes()
    (folder / file).write_text(
        json.dumps(read_plain(folder / file) | {"added": [1], "more": {"later": None}}), encoding="utf-8"
    )
    assert write_report(folder).read_bytes() == before


def test_reports_load_no_torch() -> None:
    code = (
        "import sys, comal.reports.html.run_report, comal.reports.html.compare_report; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_long_runs_say_that_curves_are_smoothed(tmp_path: Path) -> None:
    assert "mean of 5 steps" in page(write_run(tmp_path / "run", steps=22, planned=22)).text
