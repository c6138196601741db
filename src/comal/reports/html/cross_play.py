"""Who beats whom: the cross-play table of a finished run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from comal.reports.html.run_data import RunData
from comal.reports.html.verdict import GROUPS, group_of


@dataclass(frozen=True, slots=True)
class CrossPlay:
    """Win rates of the rows' policies against the columns': `rows` are (name, an estimate or None a column)."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Mapping[str, Any] | None, ...]], ...]


def cross_play(run: RunData) -> CrossPlay | None:
    """Scored policies first, then the earlier ones of the pool; None before the final evaluation."""
    if run.result is None:
        return None
    policies = run.result["policies"]
    scored = list(policies)
    others = {a for policy in policies.values() for a in policy["adversaries"] if group_of(a) == GROUPS[0]} - {*scored}
    earlier = sorted(others, key=lambda a: (a.partition("@")[0], _step(a)))
    return CrossPlay(
        tuple(scored),
        tuple((row, tuple(policies[c]["adversaries"].get(row) for c in scored)) for row in [*scored, *earlier]),
    )


def sign(estimate: Mapping[str, Any]) -> str:
    """What a cell says without its colour: clearly above an even match, clearly below, or neither.

    >>> sign({"low": 0.51, "high": 0.6}), sign({"low": 0.4, "high": 0.49}), sign({"low": 0.49, "high": 0.52})
    ('▲', '▼', '≈')
    """
    return "▲" if estimate["low"] > 0.5 else "▼" if estimate["high"] < 0.5 else "≈"


def _step(name: str) -> int:
    step = name.partition("@")[2]
    return int(step) if step.isdecimal() else 0
