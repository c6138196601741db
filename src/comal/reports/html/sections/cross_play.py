"""Who beats whom: the cross-play table of a finished run."""

from __future__ import annotations

from dataclasses import dataclass

from comal.evaluation.estimates import Estimate
from comal.evaluation.exploitability.adversaries import Adversary
from comal.pipeline.disk.result import method_of, step_of
from comal.reports.html.run_data import RunData


@dataclass(frozen=True, slots=True)
class CrossPlayTable:
    """Win rates of the rows' policies against the columns': `rows` are (name, an estimate or None a column)."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Estimate | None, ...]], ...]


def cross_play(run: RunData) -> CrossPlayTable | None:
    """Scored policies first, then the earlier ones of the pool; None before the final evaluation."""
    if run.result is None:
        return None
    policies = {name: policy.figures.adversaries for name, policy in run.result.policies.items()}
    scored = list(policies)
    others = {a.name for found in policies.values() for a in found if a.kind == "another policy"} - {*scored}
    earlier = sorted(others, key=lambda name: (method_of(name), step_of(name) or 0))
    return CrossPlayTable(
        tuple(scored),
        tuple(
            (row, tuple(policies[column].get(Adversary("another policy", row)) for column in scored))
            for row in [*scored, *earlier]
        ),
    )


def sign(estimate: Estimate) -> str:
    """What a cell says without its colour: clearly above an even match, clearly below, or neither.

    >>> from comal.evaluation.estimates import Estimate as E
    >>> sign(E(0.55, 0.51, 0.6, 9, 0)), sign(E(0.45, 0.4, 0.49, 9, 0)), sign(E(0.5, 0.49, 0.52, 9, 0))
    ('▲', '▼', '≈')
    """
    return "▲" if estimate.low > 0.5 else "▼" if estimate.high < 0.5 else "≈"
