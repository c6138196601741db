"""An audit is shown as rows, whatever keys it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comal.pipeline.disk.files import write_json
from comal.reports.html.sections.audit import AuditRow, read_audit
from comal.reports.html.run_data import load_run
from comal.reports.html.run_report import write_report
from fake_run import SCRIPT, write_run
from parsed_page import parse

AUDIT = {
    "advice": f"cyclic: use COMAL {SCRIPT}",
    "cyclic_share": {"value": 0.31, "low": 0.28, "high": 0.34, "p_value": 0.0012},
    "verdict": "cyclic",
    "position": {"flip_rate": {"mean": 0.125, "low": 0.1, "high": 0.15, "prompts": 4000, "missing": 0}},
    "length": {"longer": {"mean": 0.5, "low": 0.4, "high": 0.6, "prompts": 9, "missing": 2}},
    "agreement": [{"rater": "ann", "pairs": 3}, {"rater": "bob", "pairs": 4}],
    "condorcet_winner": None,
    "significant": True,
    "hodge": {"cyclic_share": 0.42},
    "nash_support": ["a", "b", SCRIPT],
    "matrix": [[0.5, 0.6], [0.4, 0.5]],
}


def test_labels_values_and_intervals(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", steps=0, finished=False)
    assert read_audit(load_run(folder)) is None
    write_json(folder / "audit.json", AUDIT)
    audit = read_audit(load_run(folder))
    assert audit is not None
    assert audit.sentences == ("Verdict: cyclic.", AUDIT["advice"])
    assert audit.rows == (
        AuditRow("cyclic share", "0.31", "0.28 to 0.34"),
        AuditRow("cyclic share · p value", "0.0012", ""),
        AuditRow("position · flip rate", "0.125", "0.1 to 0.15, 4,000 prompts"),
        AuditRow("length · longer", "0.5", "0.4 to 0.6, 9 prompts"),
        AuditRow("length · longer · missing", "2", ""),
        AuditRow("agreement 1 · rater", "ann", ""),
        AuditRow("agreement 1 · pairs", "3", ""),
        AuditRow("agreement 2 · rater", "bob", ""),
        AuditRow("agreement 2 · pairs", "4", ""),
        AuditRow("condorcet winner", "–", ""),
        AuditRow("significant", "yes", ""),
        AuditRow("hodge · cyclic share", "0.42", ""),
        AuditRow("nash support", f"a, b, {SCRIPT}", ""),
    )
    assert audit.left_out == 1  # the matrix
    section = parse(write_report(folder).read_text(encoding="utf-8")).one("section", id="judge")
    assert ["position · flip rate", "0.125", "0.1 to 0.15, 4,000 prompts"] in section.one("table").rows
    assert f"cyclic: use COMAL {SCRIPT}" in section.text
    assert "1 more in audit.json" in section.text


@pytest.mark.parametrize("content", [[], "text", 3, None, {}, {"advice": {"verdict": "x", "because": ["y"]}}])
def test_other_content_is_no_error(tmp_path: Path, content: Any) -> None:
    folder = write_run(tmp_path / "run", steps=0, finished=False)
    write_json(folder / "audit.json", content)
    write_report(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.sampled_from(["mean", "low", "high", "advice"]), inner, max_size=4)
    ),
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JSON)
def test_any_json_can_be_read(tmp_path: Path, content: Any) -> None:
    if not (tmp_path / "run").exists():
        write_run(tmp_path / "run", steps=0, finished=False)
    write_json(tmp_path / "run" / "audit.json", content)
    read_audit(load_run(tmp_path / "run"))
