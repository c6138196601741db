"""What the report's figures share: their width, their colours, ticks, and labels that keep apart.

A figure is at most 360 units wide so that it fills a phone's screen without shrinking its letters. Colours are numbers
of CSS variables, because light and dark pages need different ones; names stand at the lines' ends. The figures are
SVG drawn by `templates/figures.svg.j2`: they show without a script, print, and have text for those who cannot see them.
A plotting library would bring more bytes than the page has (plotly.js: megabytes) or a canvas that needs a script.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10

WIDTH = 360
ON_LIGHT = ("#6b7075", "#0072b2", "#c04f00", "#00795a", "#a8468c", "#7d6500", "#2f6fde", "#8a4b2a")
ON_DARK = ("#a2a8ad", "#56b4e9", "#f28e3c", "#2fc79a", "#e695c8", "#dcc64a", "#8fb4ff", "#d6a184")
"""Okabe and Ito's colours, darkened or lightened until letters in them can be read; the first is grey."""
LETTER = 6.3
"""Mean width of a letter of the figures' 11.5-unit type."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis and what stands there."""

    at: float
    label: str


def svg_path(points: Sequence[tuple[float, float]]) -> str:
    """The `d` of a line through points."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points) if points else ""


def nice_ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers from `low` to `high`, some `about` of them."""
    if high <= low:
        return [low]
    raw = (high - low) / about
    unit = 10.0 ** floor(log10(raw))
    step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= raw * 0.999)
    first = ceil(low / step - 1e-9)
    return [round(k * step, 10) + 0.0 for k in range(first, floor(high / step + 1e-9) + 1)]


def spread(wanted: Sequence[float], gap: float, top: float, bottom: float) -> list[float]:
    """Places near the wanted ones, at least `gap` apart and, where they fit, between `top` and `bottom`."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    places = list(wanted)
    for above, below in pairwise(order):
        places[below] = max(places[below], places[above] + gap)
    if order and places[order[-1]] > bottom:
        places[order[-1]] = max(bottom, top + gap * (len(order) - 1))
        for below, above in pairwise(order[::-1]):
            places[above] = min(places[above], places[below] - gap)
    return places


def shorten(name: str, limit: int = 18) -> str:
    """A name that fits beside its mark."""
    return name if len(name) <= limit else f"{name[: limit - 1]}…"
