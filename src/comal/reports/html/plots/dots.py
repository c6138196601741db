"""A dot plot: means with their intervals, one row each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from comal.reports.html.plots.axes import WIDTH, Tick, nice_ticks, shorten


@dataclass(frozen=True, slots=True)
class DotRow:
    """A row of a dot plot."""

    label: str
    value: str
    span: str
    y: float
    x: float
    low: float
    high: float
    colour: int
    anchor: str
    keys: str = ""


@dataclass(frozen=True, slots=True)
class DotPlot:
    """Means with their intervals, one row each, on a common axis of shares."""

    id: str
    title: str
    height: float
    rows: tuple[DotRow, ...]
    ticks: tuple[Tick, ...]
    half: float
    width: int = WIDTH

    @property
    def description(self) -> str:
        """The figure in words."""
        return "; ".join(f"{row.label}: {row.value} ({row.span})" for row in self.rows)


def dot_plot(
    id: str,  # noqa: A002 - the page's word
    title: str,
    rows: Sequence[tuple[str, float, float, float, int]],
    domain: tuple[float, float],
    keys: Sequence[str] = (),
) -> DotPlot:
    """Rows of (name, mean, low, high, colour) on an axis over `domain`; `keys` are the rows' toggle classes."""
    left, right, top, row_height = 12.0, WIDTH - 12.0, 10.0, 42.0

    def place(value: float) -> float:
        return left + (value - domain[0]) / (domain[1] - domain[0]) * (right - left)

    def anchor(x: float) -> str:  # the name stands above its dot and must not leave the figure
        return "start" if x < WIDTH * 0.33 else "end" if x > WIDTH * 0.67 else "middle"

    marks = tuple(
        DotRow(
            shorten(name, 24),
            f"{mean:.1%}",
            f"{100 * low:.1f}–{high:.1%}",
            top + i * row_height + 28,
            place(mean),
            place(low),
            place(high),
            colour,
            anchor(place(mean)),
            keys[i] if keys else "",
        )
        for i, (name, mean, low, high, colour) in enumerate(rows)
    )
    height = top + len(rows) * row_height + 28
    ticks = tuple(Tick(place(t), f"{t:.0%}") for t in nice_ticks(*domain, 5))
    return DotPlot(id, title, height, marks, ticks, place(0.5))
