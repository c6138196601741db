"""Figures of populations that are shown several answers: what k draws of a policy win, and gaps on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from comal.games import Trajectory
from comal.games.game import Floats
from comal.games.populations import PopulationGame, best_of_curve
from comal.reports.figures.games import OKABE_ITO, gap_axes, heights_apart, labels_apart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOWEST = 0.3  # of the win rates shown
_SMALLEST_GAP = 1e-17  # what a gap of exactly 0 is drawn as


def draw_best_of(
    axes: Axes, game: PopulationGame, policies: Mapping[str, tuple[Floats, str]], draws: Sequence[int]
) -> None:
    """What draws of each policy, given with its colour, win against the worst answer, below the bound k/(k + 1)."""
    bound = np.array([k / (k + 1) for k in draws])
    axes.plot(draws, bound, color="0.25", lw=1.0, ls=(0, (1, 1.5)), zorder=4)
    ends = [(float(bound[-1]), "k/(k+1)", "0.25")]
    for name, (policy, colour) in policies.items():
        curve = best_of_curve(game, policy, draws)
        axes.plot(draws, curve, color=colour, lw=1.5, marker="o", ms=2.5)
        ends.append((float(curve[-1]), name, colour))
    axes.set_xscale("log", base=2)
    axes.set_xticks(draws[:: max(1, len(draws) // 5)] if len(draws) > 8 else draws)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.xaxis.minorticks_off()
    axes.set_xlim(draws[0], draws[-1])
    axes.set_ylim(_LOWEST, 1)
    axes.set_xlabel("answers shown, k")
    axes.set_ylabel("win rate of k draws, worst case")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.92")
    heights = heights_apart([(end - _LOWEST) / (1 - _LOWEST) for end, _, _ in ends])
    for y, (_, name, colour) in zip(heights, ends, strict=True):
        axes.annotate(name, (1, y), xycoords="axes fraction", xytext=(6, 0), textcoords="offset points",
                      color=colour, va="center", fontsize=8, annotation_clip=False)  # fmt: skip


def equilibrium_colour(k: int) -> str:
    """The same in every panel."""
    return OKABE_ITO[{2: 3, 4: 4, 8: 5}.get(k, 6)]


UNTRAINED, MAJORITY, NASH = OKABE_ITO[0], OKABE_ITO[1], OKABE_ITO[2]


def draw_gaps(axes: Axes, courses: Mapping[str, Trajectory]) -> None:
    """Gaps over products of each method."""
    ends = []
    for i, (name, course) in enumerate(courses.items()):
        gaps = np.maximum(course.gaps, _SMALLEST_GAP)
        axes.plot(np.maximum(course.products, 1), gaps, color=OKABE_ITO[i], lw=1.2)
        late = gaps[-max(1, len(gaps) // 12) :]
        ends.append((float(np.exp(np.log(late).mean())), name, OKABE_ITO[i]))
    gap_axes(axes, "products")
    axes.set_ylabel("largest $w_k$ less 1/(k+1)")
    axes.set_xlim(0, max(int(course.products[-1]) for course in courses.values()))
    for y, (_, name, colour) in zip(labels_apart(axes, [end for end, _, _ in ends]), ends, strict=True):
        axes.annotate(name, (1, y), xycoords="axes fraction", xytext=(6, 0), textcoords="offset points",
                      color=colour, va="center", fontsize=8, annotation_clip=False)  # fmt: skip
