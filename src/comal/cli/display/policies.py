"""A policy over a game's answers as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_SHOW_ALL = 12  # answers; longer policies are shown without their zeros
_SHOWN_AS_ZERO = 5e-7  # what six decimals print as 0


def print_policy(console: Console, labels: Sequence[str], policy: Sequence[float]) -> None:
    """A table of answers and probabilities; a long one without its zeros."""
    from rich.markup import escape
    from rich.table import Table

    shown = [i for i, p in enumerate(policy) if len(policy) <= _SHOW_ALL or p >= _SHOWN_AS_ZERO]
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column("answer")
    table.add_column("probability", justify="right")
    for i in shown:
        table.add_row(escape(labels[i]), f"{policy[i]:.6f}")
    console.print(table)
    if len(shown) < len(policy):
        console.print(f"and {len(policy) - len(shown)} answers with probability 0")
