"""What the judge was like to ask, by the counts that a run keeps: failures, flips, preference for the first.

Verdict tables keep them in their notes, looks and result.json under "oracle"; runs of older versions kept none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from comal.evaluation.intervals import wilson
from comal.judges.asking.oracle import OracleStats
from comal.pipeline.disk.files import read_notes
from comal.reports.html.run_data import RunData
from comal.reports.html.wording import pct, span


@dataclass(frozen=True, slots=True)
class AskedRow:
    """What was counted on one occasion, as text.

    Attributes:
        failures, flips: shares with their Wilson 95% intervals, or why there is none.
        first: mean of Pr(the answer presented first wins) − 1/2, in percentage points.
    """

    occasion: str
    questions: int
    failures: str
    flips: str
    first: str


def oracle_record(run: RunData) -> list[AskedRow]:
    """One row an occasion that was counted: training of each method, validation, test."""
    occasions = [(f"training of {m.name}", _sum(_training(m.steps))) for m in run.methods]
    occasions.append(("validation prompts", _sum(look.get("oracle") for m in run.methods for look in m.looks)))
    occasions.append(("test prompts", _sum([run.result.get("oracle")] if run.result is not None else [])))
    return [_row(occasion, stats) for occasion, stats in occasions if stats.questions]


def _training(steps: Iterable[Any]) -> Iterable[Mapping[str, Any] | None]:
    for step in steps:
        for path in step.folder.all_verdicts():
            yield read_notes(path).get("oracle")


def _sum(counts: Iterable[Mapping[str, Any] | None]) -> OracleStats:
    names = {field.name for field in fields(OracleStats)}
    total = OracleStats()
    for found in counts:
        if found is not None:
            total += OracleStats(**{name: value for name, value in found.items() if name in names})
    return total


def _row(occasion: str, stats: OracleStats) -> AskedRow:
    flips, first = "both orders are one question", "none by construction"
    if stats.both_orders and stats.position_bias is not None:
        flips = _share(stats.flips, stats.both_orders)
        first = f"{100 * stats.position_bias:+.1f} points"
    failures = f"{stats.failures:,}"
    if stats.failures:
        failures += f", {_share(stats.failures, stats.questions)}"
    return AskedRow(occasion, stats.questions, failures, flips, first)


def _share(count: int, total: int) -> str:
    return f"{pct(count / total)} ({span(asdict(wilson(count, total)))})"
