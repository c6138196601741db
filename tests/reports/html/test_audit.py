"""An audit is shown as rows; what is no audit is a user's error that names file and field."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comal.errors import RunError
from comal.evaluation.audit.agreement import Agreement
from comal.evaluation.audit.audit import audit_counts
from comal.evaluation.audit.length import LengthBias
from comal.evaluation.audit.quality.position import PositionBias
from comal.evaluation.audit.result import AuditResult
from comal.evaluation.estimates import Estimate
from comal.pipeline.disk.files import write_json
from comal.reports.html.run_data import load_run
from comal.reports.html.run_report import write_report
from comal.reports.html.sections.audit import AuditRow, audit_of, shown_audit
from fake_run import SCRIPT, write_run
from parsed_page import parse


def audit() -> AuditResult:
    """Three systems, each of which beats the next 31 times in 40."""
    wins = np.array([[0, 31, 9], [9, 0, 31], [31, 9, 0]])
    found = audit_counts(wins, ["a", "b", SCRIPT], "counts")
    share = Estimate(0.5, 0.25, 0.75, 3, 0)
    return dataclasses.replace(
        found,
        raters=("ann", "bob"),
        verdicts=120,
        position=PositionBias(40, Estimate(0.125, 0.1, 0.15, 4000, 0), share),
        length=LengthBias(9, Estimate(0.5, 0.4, 0.6, 9, 2), None, False),
        agreement=(
            Agreement("ann", "bob", 3, 0, share, None, None),
            Agreement("bob", "people", 4, 0, share, None, None),
        ),
        advice=(f"cyclic: use COMAL {SCRIPT}",),
    )


def test_labels_values_and_intervals(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", steps=0, finished=False)
    assert audit_of(load_run(folder)) is None
    write_json(folder / "audit.json", audit().to_json())
    read = audit_of(load_run(folder))
    assert read is not None
    shown = shown_audit(read)
    assert shown.sentences == ("Verdict: cyclic.", f"cyclic: use COMAL {SCRIPT}")
    rows = {row.label: row for row in shown.rows}
    for row in (
        AuditRow("raters", "ann, bob", ""),
        AuditRow("verdicts", "120", ""),
        AuditRow("position · flip rate", "0.125", "0.1 to 0.15, 4,000 prompts"),
        AuditRow("length · longer", "0.5", "0.4 to 0.6, 9 prompts"),
        AuditRow("length · longer · missing", "2", ""),
        AuditRow("length · per doubling", "–", ""),
        AuditRow("length · adjusted", "no", ""),
        AuditRow("agreement 1 · rater", "ann", ""),
        AuditRow("agreement 2 · pairs", "4", ""),
        AuditRow("structure · condorcet", "–", ""),
        AuditRow("structure · labels", f"a, b, {SCRIPT}", ""),
        AuditRow("structure · cycles · cyclic", "1", ""),
        AuditRow("p value", f"{read.p_value:.3g}", ""),
        AuditRow("failure rate", "0", ""),
    ):
        assert rows[row.label] == row
    assert shown.left_out == 3  # rates, counts, and the cyclic part, which are tables
    section = parse(write_report(folder).read_text(encoding="utf-8")).one("section", id="judge")
    assert ["position · flip rate", "0.125", "0.1 to 0.15, 4,000 prompts"] in section.one("table").rows
    assert f"cyclic: use COMAL {SCRIPT}" in section.text
    assert "3 more in audit.json" in section.text


def test_commands_in_its_advice_are_set_as_code(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", steps=0, finished=False)
    told = dataclasses.replace(audit(), advice=("Use COMAL (`comal run`): <b>not</b> `<i>`.",))
    write_json(folder / "audit.json", told.to_json())
    page = write_report(folder).read_text(encoding="utf-8")
    assert "Use COMAL (<code>comal run</code>): &lt;b&gt;not&lt;/b&gt; <code>&lt;i&gt;</code>.</p>" in page


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([], "expected an object"),
        ("text", "expected an object"),
        (3, "expected an object, got 3"),
        (None, "expected an object, got null"),
        ({}, "`name` is missing"),
        ({"verdict": "yes"}, "`verdict` is no one of unusable, too little data, transitive, cyclic"),
        ({"position": {"pairs": 3}}, "`position.flip_rate` is missing"),
        ({"advice": {"because": ["y"]}}, "`advice` is no list"),
        ({"structure": 4}, "`structure` is no object"),
    ],
)
def test_what_is_no_audit_is_named_with_the_field(tmp_path: Path, content: Any, told: str) -> None:
    folder = write_run(tmp_path / "run", steps=0, finished=False)
    whole = audit().to_json() | content if isinstance(content, dict) and content else content
    write_json(folder / "audit.json", whole)
    with pytest.raises(RunError) as raised:
        write_report(folder)
    assert raised.value.place == str(folder / "audit.json")
    assert told in raised.value.problem


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.sampled_from(["mean", "low", "high", "advice"]), inner, max_size=4)
    ),
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JSON)
def test_any_other_json_is_a_users_error(tmp_path: Path, content: Any) -> None:
    if not (tmp_path / "run").exists():
        write_run(tmp_path / "run", steps=0, finished=False)
    write_json(tmp_path / "run" / "audit.json", content)
    with pytest.raises(RunError):
        audit_of(load_run(tmp_path / "run"))
