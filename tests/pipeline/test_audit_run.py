"""Audits of run folders: answers of the run, its judge, its kept verdicts."""

import json

import pytest

import tiny_run
from comal.errors import RunError
from comal.evaluation.audit.result import read_audit
from comal.pipeline.audit_run import audit_run, run_answers
from comal.pipeline.disk.files import read_json, write_json, write_table
from comal.pipeline.run.resolved import resolve
from comal.plugins import JUDGES
from comal.recipes.load import load_recipe
from command_line import comal
from parsed_page import parse

STYLES = ("Return it.", "Returns it.", "The result.")


@pytest.fixture
def folder(tmp_path):
    write_json(tmp_path / "run" / "run.json", {"format": 1, "recipe": resolve(load_recipe("docstrings")).canonical()})
    return tmp_path / "run"


def samples(path, *groups):
    columns = {"prompt": [f"q{x}" for x, group in enumerate(groups) for _ in group],
               "text": [text for group in groups for text in group]}  # fmt: skip
    write_table(path, columns)


def test_policies_of_a_finished_run_are_the_systems(folder):
    for name, text in zip(
        ("start", "comal", "self-play", "comal@12", "validation-start"), (*STYLES, "x", "y"), strict=True
    ):
        samples(folder / "evaluation" / f"{name}.parquet", *[[text] * 3] * 20)
    write_json(folder / "result.json", {})
    answers = run_answers(folder, prompts=10)
    assert answers.systems == ("comal", "self-play", "start")
    assert answers.owner == (0, 0, 1, 1, 2, 2)
    assert len(answers.prompts) == 10
    found = audit_run(folder)
    assert found.verdict == "cyclic"
    assert found.structure.labels == answers.systems
    assert found.prompts == 20


def test_before_the_end_the_start_answers_for_itself(folder):
    samples(folder / "comal" / "steps" / "00000" / "samples.parquet", *[list(STYLES)] * 20)
    found = audit_run(folder)
    assert found.structure is None
    assert (found.verdict, found.prompt_cycles.prompts) == ("cyclic", 20)
    samples(folder / "evaluation" / "validation-start.parquet", *[["Return it.", "Return that."]] * 8)
    assert len(run_answers(folder).prompts) == 8


def test_another_judge_may_be_asked(folder):
    samples(folder / "comal" / "steps" / "00000" / "samples.parquet", *[list(STYLES)] * 60)
    one = JUDGES.build({"name": "docstring_style", "ranking": ["command", "label", "description"]}, "judge")
    assert audit_run(folder, one).verdict == "transitive"
    assert not (folder / "audit.json").exists(), "not the judge of the run"


def test_folders_without_answers(folder, tmp_path):
    with pytest.raises(RunError, match="there is no run here"):
        audit_run(tmp_path)
    with pytest.raises(RunError, match="has not sampled any answers yet"):
        audit_run(folder)
    write_table(folder / "comal" / "steps" / "00000" / "samples.parquet", {"text": ["x"]})
    with pytest.raises(RunError, match="has no prompts"):
        audit_run(folder)


def test_a_real_run_is_audited_and_its_report_shows_the_audit(tmp_path):
    """The whole of a tiny run, by the command line; its matrix judge knows all of its prompts."""
    recipe = tiny_run.write(tmp_path, tiny_run.values(tmp_path / "data"))
    done = tiny_run.call(tiny_run.command(recipe, tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    page = tmp_path / "run" / "report.html"
    assert "Audit of the judge" not in page.read_text(encoding="utf-8")

    audited = comal("audit", tmp_path / "run", "--json")
    assert audited.exit_code == 0, audited.stderr
    assert "audit.json" in audited.stderr
    found = json.loads(audited.stdout)
    assert found == read_json(tmp_path / "run" / "audit.json")
    again = read_audit(tmp_path / "run" / "audit.json")
    write_json(tmp_path / "again.json", again.to_json())
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "run" / "audit.json").read_bytes()
    assert found["raters"] == ["matrix"]
    assert found["failures"] == 0
    assert set(found["structure"]["labels"]) >= {"start", "comal"}

    assert comal("report", tmp_path / "run").exit_code == 0
    section = parse(page.read_text(encoding="utf-8")).one("section", id="judge")
    shown = section.one("div", aria_label="Audit of the judge").one("table").rows
    share = found["prompt_cycles"]["share"]
    assert found["advice"][0] in section.text
    assert ["verdicts", f"{found['verdicts']:,}", ""] in shown
    interval = f"{share['low']:.3g} to {share['high']:.3g}, {share['prompts']} prompts"
    assert ["prompt cycles · share", f"{share['mean']:.3g}", interval] in shown
    assert ["structure · labels", ", ".join(found["structure"]["labels"]), ""] in shown
