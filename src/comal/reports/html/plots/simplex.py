"""A path in the triangle of three shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt

from comal.reports.html.plots.axes import WIDTH, svg_path

_UNIT = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_SIDE, _TOP = 264.0, 24.0


@dataclass(frozen=True, slots=True)
class Simplex:
    """A path in the triangle of three shares."""

    id: str
    title: str
    colour: int
    labels: tuple[str, str, str]
    path: str
    dots: tuple[tuple[float, float], ...]
    moves: tuple[tuple[float, float], ...]
    star: tuple[float, float] | None
    description: str
    keys: str = ""
    height: float = 285
    width: int = WIDTH
    corners: tuple[tuple[float, float], ...] = field(default_factory=lambda: tuple(to_plane(c) for c in _UNIT))


def simplex(
    id: str,  # noqa: A002 - the page's word
    title: str,
    colour: int,
    labels: tuple[str, str, str],
    points: Sequence[tuple[float, float, float]],
    moves: Sequence[int] = (),
    star: Sequence[float] = (),
    keys: str = "",
) -> Simplex:
    """The way of three shares from the first point to the last; `moves` are numbers of points to mark."""
    placed = tuple(to_plane(p) for p in points)
    marked = tuple(placed[i] for i in moves if i < len(placed))
    ends = " to ".join(
        ", ".join(f"{name} {share:.0%}" for name, share in zip(labels, point, strict=True))
        for point in (points[0], points[-1])
    )
    place = to_plane(star) if len(star) == 3 else None
    description = f"from {ends}" + ("; the star marks the Nash policy between the classes" if place else "")
    return Simplex(id, title, colour, labels, svg_path(placed), placed, marked, place, description, keys)


def to_plane(shares: Sequence[float]) -> tuple[float, float]:
    """Where three shares lie in the drawn triangle: corners at its top, bottom left and bottom right."""
    a, b, c = shares
    total = a + b + c
    x = (WIDTH - _SIDE) / 2 + _SIDE * (a / 2 + c) / total
    y = _TOP + _SIDE * sqrt(3) / 2 * (1 - a / total)
    return round(x, 1), round(y, 1)
