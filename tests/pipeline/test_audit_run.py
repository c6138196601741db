"""Audits of run folders: answers of the run, its judge, its kept verdicts."""

import itertools
import json
import sys

import numpy as np
import pytest

import tiny_run
from comal.errors import RunError
from comal.evaluation.audit.asking import Asking
from comal.evaluation.audit.result import read_audit
from comal.judges.asking.oracle import Oracle
from comal.judges.base import Comparison
from comal.judges.kept.cache import shared_cache_path
from comal.judges.python import Python
from comal.pipeline.audit_run import audit_run, run_answers
from comal.pipeline.disk.files import read_json, write_json, write_table
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.run.resolved import resolve
from comal.plugins import JUDGES
from comal.recipes.load import load_recipe
from comal.reports.html.sections.audit import shown_audit
from command_line import comal, refused
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
    samples(folder / "evaluation" / "validation-start.parquet", *[list(STYLES)] * 8)
    assert len(run_answers(folder).prompts) == 8


def test_two_answers_to_a_prompt_hide_no_cycle_among_three(folder):
    samples(folder / "comal" / "steps" / "00000" / "samples.parquet", *[list(STYLES)] * 20)
    samples(folder / "evaluation" / "validation-start.parquet", *[list(STYLES[:2])] * 8)
    assert audit_run(folder).verdict == "cyclic"


def test_two_answers_are_asked_about_where_no_prompt_has_more(folder):
    samples(folder / "comal" / "steps" / "00000" / "samples.parquet", *[list(STYLES[:2])] * 20)
    samples(folder / "evaluation" / "validation-start.parquet", *[list(STYLES[:2])] * 8)
    assert len(run_answers(folder).prompts) == 8


def test_of_the_start_it_says_what_the_run_could_show(folder):
    samples(folder / "comal" / "steps" / "00000" / "samples.parquet", *[[*STYLES, STYLES[0]]] * 20)
    shown = comal("audit", str(folder))
    found = read_audit(folder / "audit.json").foresight
    assert found.classes == ("command", "description", "label")
    assert found.class_shares == pytest.approx([0.5, 0.25, 0.25])
    recipe = load_recipe("docstrings")
    assert [one.method for one in found.methods] == ["comal", *recipe.baselines]
    assert found.steps == recipe.steps
    halves = {one.method: one.ends[1].win_rate for one in found.methods}
    assert 0.5 < halves["comal"] < halves["fixed-reference"] < halves["self-play"]
    in_report = shown_audit(read_audit(folder / "audit.json"))
    assert any(f"the strongest class wins {found.start:.3f}." in sentence for sentence in in_report.sentences)
    assert sum(sentence.startswith("Against ") for sentence in in_report.sentences) == len(found.methods)
    assert not any("foresight" in row.label for row in in_report.rows)
    lines = shown.stdout.splitlines()
    assert f"strongest class against it  wins {found.start:.3f}" in lines
    [row] = [line.split() for line in lines if line.startswith("comal ")]
    assert row == ["comal", *(f"{end.win_rate:.3f}" for end in found.methods[0].ends)]


def test_policies_that_were_trained_say_nothing_of_it_nor_does_a_recipe_without_classes(folder):
    for name in ("start", "comal"):
        samples(folder / "evaluation" / f"{name}.parquet", *[list(STYLES)] * 20)
    write_json(folder / "result.json", {})
    assert audit_run(folder).foresight is None
    (folder / "result.json").unlink()
    samples(folder / "comal" / "steps" / "00000" / "samples.parquet", *[list(STYLES)] * 20)
    plain = resolve(load_recipe("docstrings", ["evaluation.classes=null"])).canonical()
    write_json(folder / "run.json", {"format": 1, "recipe": plain})
    assert audit_run(folder).foresight is None


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


SCRIBE = """
def f(x, a, b):
    with open({log!r}, "a") as file:
        print(x, file=file)
    return float(len(a) > len(b))
"""


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """The file with a line for every question put to the judge `scribe:f`, which prefers the longer answer."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "scribe.py").write_text(SCRIBE.format(log=str(tmp_path / "asked.log")))
    monkeypatch.delitem(sys.modules, "scribe", raising=False)
    (tmp_path / "asked.log").touch()
    return tmp_path / "asked.log"


PAID = {"name": "python", "function": "scribe:f", "expensive": True, "symmetric": True}


def paid_run(folder, verdict_cache):
    """A finished run with a judge whose verdicts are kept: three policies of answers of drawn lengths."""
    settings = ["judge.name=python", "judge.function=scribe:f", "judge.expensive=true", "judge.symmetric=true"]
    recipe = load_recipe("docstrings", [*settings, f"verdict_cache={verdict_cache}", "seed=3"])
    write_json(folder / "run.json", {"format": 1, "recipe": resolve(recipe).canonical()})
    rng = np.random.default_rng(0)
    texts = {name: ["x" * int(n) for n in rng.integers(1, 1000, size=40)] for name in ("start", "comal", "self-play")}
    for name, given in texts.items():
        samples(folder / "evaluation" / f"{name}.parquet", *[[text] for text in given])
    write_json(folder / "result.json", {})
    return texts


@pytest.mark.parametrize("where", ["run", "shared", "{tmp}/own.sqlite"])
def test_no_verdict_is_bought_again_wherever_the_run_keeps_them(asked, tmp_path, where):
    folder, setting = tmp_path / "run", where.format(tmp=tmp_path)
    texts = paid_run(folder, setting)
    judge = JUDGES.build(PAID, "judge")
    pairs = list(itertools.combinations(texts.values(), 2))
    questions = [Comparison(f"q{x}", a[x], b[x]) for a, b in pairs for x in range(40)]
    Oracle(judge, RunFolder(folder).verdicts(setting)).win_probabilities(questions)
    bought = asked.read_text()
    assert bought.count("\n") == 3 * 40

    assert audit_run(folder).failures == 0
    assert asked.read_text() == bought, "every verdict was there"
    assert (folder / "verdicts.sqlite").exists() == (where == "run"), "nothing is kept elsewhere"


def test_what_a_judge_spends_is_counted_in_the_run(asked, tmp_path, monkeypatch):
    """Whatever the cache, and repeats too: the judge's budget is the run's."""
    told = []
    inner = Python.compare_in_parts
    monkeypatch.setattr(
        Python, "compare_in_parts", lambda self, some, records: told.append(records) or inner(self, some, records)
    )
    paid_run(tmp_path / "run", "shared")
    audit_run(tmp_path / "run", how=Asking(repeats=2))
    assert {records.spend for records in told} == {tmp_path / "run" / "spend.sqlite"}
    assert {records.verdicts for records in told} == {shared_cache_path()}


def test_cache_and_seed_of_the_command_are_in_effect(asked, tmp_path):
    """The seed moves the bootstrapped intervals and nothing else; without one it is the run's."""
    folder = tmp_path / "run"
    paid_run(folder, "run")

    def audited(*options):
        outcome = comal("audit", folder, "--json", *options)
        assert outcome.exit_code == 0, outcome.output
        return json.loads(outcome.stdout)

    own = audited("--cache", tmp_path / "mine.sqlite")
    bought = asked.read_text()
    assert (tmp_path / "mine.sqlite").is_file()
    assert not (folder / "verdicts.sqlite").exists()
    assert audited("--cache", tmp_path / "mine.sqlite", "--seed", 3) == own
    assert asked.read_text() == bought
    other = audited("--cache", tmp_path / "mine.sqlite", "--seed", 4)
    assert other["structure"] != own["structure"]
    assert other["verdicts"] == own["verdicts"]
    refused(comal("audit", folder, "--counts", 5), "--counts: does nothing to a run; leave it out")
    refused(comal("audit", folder, "--labels", asked), "--labels: does nothing to a run; leave it out")


def test_a_real_run_is_audited_and_its_report_shows_the_audit(tmp_path):
    """The whole of a tiny run, by the command line; its matrix judge knows all of its prompts."""
    recipe = tiny_run.write(tmp_path, tiny_run.values(tmp_path / "data"))
    done = comal("run", recipe, "--output-dir", tmp_path / "run")
    assert done.exit_code == 0, done.output
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
