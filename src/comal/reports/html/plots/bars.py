"""Stacked bars of durations, one a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from comal.reports.html.plots.axes import WIDTH
from comal.reports.html.wording import duration


@dataclass(frozen=True, slots=True)
class BarPart:
    """A piece of a bar."""

    x: float
    width: float
    colour: int
    label: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A row: its name and total stand above it."""

    label: str
    total: str
    y: float
    parts: tuple[BarPart, ...]


@dataclass(frozen=True, slots=True)
class BarPlot:
    """Durations by row and part, on one axis from zero."""

    id: str
    title: str
    description: str
    height: float
    rows: tuple[Bar, ...]
    legend: tuple[tuple[int, str], ...]
    width: int = WIDTH


def bar_plot(
    id: str,  # noqa: A002 - the page's word
    title: str,
    rows: Sequence[tuple[str, Mapping[str, float]]],
) -> BarPlot | None:
    """Rows of (name, seconds by part); None when all are empty."""
    longest = max((sum(parts.values()) for _, parts in rows), default=0.0)
    if longest <= 0:
        return None
    names = list(dict.fromkeys(name for _, parts in rows for name in parts))
    colour = {name: i % 7 + 1 for i, name in enumerate(names)}
    bars = []
    for i, (label, parts) in enumerate(rows):
        at, pieces = 0.0, []
        for name, seconds in parts.items():
            width = seconds / longest * WIDTH
            pieces.append(BarPart(round(at, 1), round(width, 1), colour[name], f"{name}: {duration(seconds)}"))
            at += width
        bars.append(Bar(label, duration(sum(parts.values())), 20.0 + 40 * i, tuple(pieces)))
    words = "; ".join(
        f"{label}: " + ", ".join(f"{name} {duration(seconds)}" for name, seconds in parts.items())
        for label, parts in rows
    )
    return BarPlot(id, title, words, 40.0 * len(rows) + 4, tuple(bars), tuple((colour[name], name) for name in names))
