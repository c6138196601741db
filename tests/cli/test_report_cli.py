"""`comal report` as a person types it."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import pytest

import tiny_run
from comal.pipeline.disk.files import read_json
from command_line import comal, refused
from fake_run import write_run
from parsed_page import parse


def test_a_run_gets_its_page_and_stdout_says_where(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    outcome = comal("report", folder)
    assert outcome.exit_code == 0, outcome.output
    assert outcome.stdout == f"{folder / 'report.html'}\n"
    assert "comal is the hardest to beat" in (folder / "report.html").read_text(encoding="utf-8")


def test_an_unfinished_run_gets_one_too_elsewhere_if_asked(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", steps=2, finished=False)
    outcome = comal("report", folder, "--output", tmp_path / "new" / "page.html", "--json")
    assert outcome.exit_code == 0, outcome.output
    assert json.loads(outcome.stdout) == {
        "report": str(tmp_path / "new" / "page.html"), "runs": [str(folder)], "finished": [False],
    }  # fmt: skip
    assert "not been evaluated yet" in (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert not (folder / "report.html").exists()


def test_several_runs_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [write_run(tmp_path / "a"), write_run(tmp_path / "b", steps=2, finished=False)]
    outcome = comal("report", *folders)
    assert outcome.exit_code == 0, outcome.output
    assert outcome.stdout == "comparison.html\n"
    assert "2 runs compared" in (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert json.loads(comal("report", *folders, "--json").stdout)["finished"] == [True, False]


@pytest.mark.parametrize("works", [True, False])
def test_open_shows_the_page_or_says_that_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: shown.append(address) or works)
    folder = write_run(tmp_path / "run", steps=0, finished=False)
    outcome = comal("report", folder, "--open")
    assert outcome.exit_code == 0
    assert shown == [(folder / "report.html").as_uri()]
    assert ("no browser could be started" in outcome.stderr) != works


def test_bad_input_is_one_message(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", steps=0, finished=False)
    refused(comal("report", tmp_path / "nowhere"), "nowhere: there is no run here")
    refused(comal("report", tmp_path), "there is no run here (run.json is missing)")
    refused(comal("report", folder / "run.json"), "this is a file; give the folder of a run")
    refused(comal("report", folder, tmp_path / "nowhere", "--output", tmp_path / "c.html"), "nowhere")
    refused(comal("report", folder, folder, "--output", tmp_path / "c.html"), "given twice")
    refused(comal("report", folder, "--output", tmp_path), "this is a folder; give --output the name of a file")
    refused(comal("report", folder, "--output", folder / "run.json" / "x.html"), "cannot be written here")
    (folder / "run.json").write_text("{")
    refused(comal("report", folder), "run.json: this file of the run cannot be read")
    assert not list(tmp_path.glob("*.html"))


def test_nothing_given_is_a_usage_error() -> None:
    outcome = comal("report")
    assert outcome.exit_code == 2
    assert "Missing argument" in outcome.stderr


def test_a_real_run_keeps_what_its_report_shows(tmp_path: Path) -> None:
    recipe, folder = tiny_run.write(tmp_path, tiny_run.values(tmp_path / "data")), tmp_path / "run"
    done = comal("run", recipe, "--output-dir", folder, "--set", "steps=2")
    assert done.exit_code == 0, done.output
    tree = parse((folder / "report.html").read_text(encoding="utf-8"))
    provenance = tree.one("section", id="provenance")
    assert provenance.one("pre").text == f"comal run {recipe.name} --set steps=2"
    rows = dict(provenance.one("table").rows[1:])
    assert {"comal", "Python", "torch", "transformers", "machine", "began"} <= rows.keys()
    asked = {row[0]: row[1] for row in tree.one("section", id="judge").all("table")[-1].rows[1:]}
    counts = read_json(folder / "result.json")["oracle"]
    assert counts.keys() == {"comparisons", "questions", "failures", "both_orders", "flips", "first_excess"}
    assert asked["test prompts"] == f"{counts['questions']:,}"
    assert {"training of comal", "validation prompts", "test prompts"} == asked.keys()
    cells = tree.one("section", id="cost").all("table")[1].rows[1]
    # 2 steps of 8 prompts and 4 answers, each of one token; 6 pairs a prompt; one order, since the judge is symmetric.
    assert cells[:4] == ["comal", "64", "64", "96"]
    assert cells[4] == asked["training of comal"], "no verdict was on disk before"
    assert cells[5] == "0"
    kept = [folder / "provenance.json", folder / "result.json"]
    before = [path.read_bytes() for path in kept]
    assert comal("run", recipe, "--output-dir", folder, "--set", "steps=2").exit_code == 0
    assert [path.read_bytes() for path in kept] == before, "typed again, nothing is done again"
