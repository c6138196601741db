"""Text tables keep to the terminal's width: names whole, no line broken in the middle."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from comal.pipeline.disk.files import write_json
from comal.pipeline.disk.result import read_result
from comal.reports.terminal import certificate as certificate_table
from comal.reports.terminal.run import look_heading, look_row, result_table
from fake_run import write_run

RATE = {"mean": 0.425, "low": 0.2, "high": 0.6, "prompts": 20, "missing": 0}


@pytest.fixture
def look(tmp_path: Path) -> Path:
    figures = {"win_rate": RATE, "win_rate_previous": RATE, "win_rate_best": RATE, "duality_gap": RATE}
    figures |= {"worst_case": RATE | {"adversaries": ["start", "start"]}, "adversaries": {"start": RATE}}
    rest = {"step": 12, "checkpoint": "00011", "kl_start": 0.5, "mean_tokens": 9.5, "unfinished": 0.25}
    write_json(tmp_path / "look.json", figures | rest)
    return tmp_path / "look.json"


@pytest.mark.parametrize("width", [120, 80, 60, 50])
def test_a_growing_table_has_the_columns_that_fit(look: Path, width: int) -> None:
    heading, row = look_heading(width), look_row("fixed-reference", look, width)
    assert len(heading) == len(row) <= width
    assert heading.startswith("method ")
    assert row.startswith("fixed-reference ")
    assert "0.425 ± 0.200" in row
    assert ("gap ≥" in heading) == (width >= 60)
    assert ("vs best" in heading) == (width >= 120)
    assert look_heading() == look_heading(1000), "a file has room for all"
    exploiter = certificate_table.look_row("fixed-reference/exploiter-from-policy", look, width)
    assert len(exploiter) == len(certificate_table.look_heading(width)) <= width
    assert "exploiter-from-policy" in exploiter


@pytest.mark.parametrize("width", [130, 80, 50])
def test_the_final_table_has_a_line_a_policy(tmp_path: Path, width: int) -> None:
    result = read_result(write_run(tmp_path / "run") / "result.json")
    console = Console(width=width, file=io.StringIO())
    console.print(result_table(result, width))
    lines = console.file.getvalue().splitlines()
    rows = [line for line in lines if line.startswith(tuple(result.policies))]
    assert len(rows) == len(result.policies), lines
    assert lines[-len(rows) :] == rows, "no cell goes over several lines"
    assert not any("…" in line for line in lines)
    divergences = [f"{policy.kl_start.mean:.2f}" for policy in result.policies.values()]
    assert [row.split()[-1] for row in rows] == divergences, "nor is the last column cut"
    assert ("class" in " ".join(lines)) == (width >= 80)
