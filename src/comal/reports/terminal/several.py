"""What several answers of a policy at once are worth to the users of a population, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from comal.evaluation.estimates import Estimate
from comal.evaluation.exploitability.several import SeveralAnswers


def several_table(policies: Mapping[str, Sequence[SeveralAnswers]]) -> Table:
    """A row a policy and number of answers shown."""
    table = Table(
        title="several answers at once, of which each user takes the best, against one of the strongest adversary; "
        "mean and 95% interval",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("policy")
    for heading in ("shown", "win rate", "k/(k + 1)"):
        table.add_column(escape(heading), justify="right")
    table.add_column("strongest adversary")
    counted = any(figures.classes is not None for rows in policies.values() for figures in rows)
    for heading in ("users with a favourite", *(["classes"] if counted else [])):
        table.add_column(heading, justify="right")
    for name, rows in policies.items():
        for figures in rows:
            table.add_row(
                escape(name),
                str(figures.answers_shown),
                interval(figures.win_rate),
                f"{figures.bound:.3f}",
                escape(" / ".join(dict.fromkeys(figures.strongest))),
                interval(figures.favourites),
                *([interval(figures.classes)] if counted else []),
            )
    return table


def interval(estimate: Estimate | None) -> str:
    """The mean and its interval, or a dash."""
    return "–" if estimate is None else escape(str(estimate))
