"""Figures of matrix games: the gap as work is done, and paths in the simplex of three answers.

Curves carry their names themselves; colours are Okabe and Ito's, which colour-blind readers can tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from comal.errors import DataError
from comal.games import PreferenceGame, Solution
from comal.games.game import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
_SMALLEST_GAP = 1e-17  # what a gap of exactly 0 is drawn as
_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """One method's way: its name, and prox steps taken, gap and policy in every row."""

    name: str
    prox_steps: NDArray[np.int64]
    gaps: Floats
    policies: Floats


def solution_figure(game: PreferenceGame, solution: Solution, algorithm: str, target: float) -> Figure:
    """The gap after every product and, for three answers, the path of the policy. Needs a recorded trajectory."""
    trajectory = solution.trajectory
    if trajectory is None:
        raise ValueError("the solution has no trajectory; solve with record")
    paths = trajectory.policies is not None and game.n == 3
    figure = figure_of(9.5 if paths else 6, 4)
    axes = figure.subplots(1, 2 if paths else 1, squeeze=False)[0]
    axes[0].step(trajectory.products, np.maximum(trajectory.gaps, _SMALLEST_GAP), where="post", color=OKABE_ITO[0])
    axes[0].plot(trajectory.products[-1], max(trajectory.gaps[-1], _SMALLEST_GAP), "o", color=OKABE_ITO[0], ms=4)
    if target > 0:
        axes[0].axhline(target, color="0.5", lw=0.8, ls="--")
        axes[0].annotate("asked for", (0, target), xycoords=("axes fraction", "data"), xytext=(4, 2),
                         textcoords="offset points", ha="left", color="0.4", fontsize=8)  # fmt: skip
    gap_axes(axes[0], "matrix-vector products")
    axes[0].set_title(f"{algorithm} on {game.name.rpartition('/')[2]}", fontsize=10, loc="left")
    if paths:
        assert trajectory.policies is not None
        _simplex(axes[1], game.labels)
        _path(axes[1], trajectory.policies, OKABE_ITO[0])
        end = trajectory.policies[-1] @ _CORNERS
        axes[1].plot(*end, "*", color=OKABE_ITO[4], ms=8, zorder=5)
        axes[1].set_title("from the dot to the star", fontsize=9)
    return figure


def synthetic_figure(game: PreferenceGame, courses: Sequence[Course], nash: Floats) -> Figure:
    """Gaps of all methods over their prox steps, above the paths of the first five in the simplex."""
    figure = figure_of(10, 6.6)
    top, bottom = np.asarray(figure.subfigures(2, 1, height_ratios=(1.7, 1))).flat
    above = top.subplots()
    ends = []
    for i, course in enumerate(courses):
        colour = OKABE_ITO[i]
        gaps = np.maximum(course.gaps, _SMALLEST_GAP)
        # every other one dashed: MWU lies under SPPO, INPO under Nash-MD
        above.plot(course.prox_steps, gaps, color=colour, lw=1.4, ls=(0, (4, 3)) if i % 2 else "-")
        late = gaps[-max(1, len(gaps) // 12) :]
        ends.append((float(np.exp(np.log(late).mean())), course.name, colour))
    gap_axes(above, "prox steps")
    last = max(int(course.prox_steps[-1]) for course in courses)
    above.set_xlim(0, last)
    for y, (_, name, colour) in zip(labels_apart(above, [end for end, _, _ in ends]), ends, strict=True):
        above.annotate(name, (1, y), xycoords="axes fraction", xytext=(6, 0), textcoords="offset points",
                          color=colour, va="center", fontsize=9, annotation_clip=False)  # fmt: skip
    panels = bottom.subplots(1, min(5, len(courses)), squeeze=False)[0]
    for panel, course, colour in zip(panels, courses, OKABE_ITO, strict=False):
        _simplex(panel, game.labels)
        _path(panel, course.policies, colour)
        panel.plot(*(nash @ _CORNERS), "*", color="black", ms=7, zorder=5)
        panel.set_title(course.name.replace(" (", "\n("), fontsize=9, color=colour)
    bottom.supxlabel("paths from one start (dot); the star is the Nash policy", fontsize=9, color="0.35")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the suffix says the format.

    Raises:
        DataError: unknown suffix, or a place that cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=160)
    except (OSError, ValueError) as error:
        raise DataError(str(path), f"the figure cannot be written: {error}") from error


def figure_of(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    from matplotlib.figure import Figure  # not pyplot: no global state, no display

    return Figure(figsize=(width, height), layout="constrained")


def gap_axes(axes: Axes, work: str) -> None:
    """A logarithmic axis of duality gaps over work done, which is counted."""
    axes.locator_params(axis="x", integer=True)
    axes.set_yscale("log")
    axes.set_xlabel(work)
    axes.set_ylabel("duality gap")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.92")


def _simplex(axes: Axes, labels: Sequence[str]) -> None:
    outline = np.vstack([_CORNERS, _CORNERS[:1]])
    axes.plot(outline[:, 0], outline[:, 1], color="0.6", lw=0.9)
    for corner, label, offset, align in zip(
        _CORNERS,
        labels,
        ((-3, -3), (3, -3), (0, 3)),
        (("right", "top"), ("left", "top"), ("center", "bottom")),
        strict=True,
    ):
        axes.annotate(
            label, tuple(corner), xytext=offset, textcoords="offset points", ha=align[0], va=align[1], fontsize=9
        )
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.margins(0.12)


def _path(axes: Axes, policies: Floats, colour: Any) -> None:
    points = policies @ _CORNERS
    axes.plot(points[:, 0], points[:, 1], color=colour, lw=0.8)
    axes.plot(*points[0], "o", color=colour, ms=4)


def labels_apart(axes: Axes, values: Sequence[float], least: float = 0.055) -> list[float]:
    """Heights (fractions of the axes) at which labels of these values do not overlap, in the same order."""
    bottom, top = np.log10(axes.get_ylim())
    return heights_apart((np.log10(values) - bottom) / (top - bottom), least)


def heights_apart(wanted: Sequence[float] | NDArray[np.float64], least: float = 0.06) -> list[float]:
    """Heights from 0 to 1, near those wanted, at which labels do not overlap, in the same order."""
    heights = np.array(wanted, dtype=np.float64)
    order = np.argsort(wanted)
    for below, above in pairwise(order):
        heights[above] = max(heights[above], heights[below] + least)
    excess = heights.max() - 1.0
    if excess > 0:  # push down again from the top
        heights[order[-1]] -= excess
        for above, below in pairwise(order[::-1]):
            heights[below] = min(heights[below], heights[above] - least)
    return [float(height) for height in heights]
