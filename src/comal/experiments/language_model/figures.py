"""Figures of `comal reproduce lm`: who can be beaten by how much, how far policies went for it, and who beats whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from comal.experiments.language_model.results import MethodResult, ResultTable
from comal.reports.figures.games import OKABE_ITO, figure_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OURS, _OTHERS, _SOFT = OKABE_ITO[4], OKABE_ITO[0], "0.5"
_ROW = 0.3  # inches


def worst_case_figure(table: ResultTable) -> Figure:
    """The strongest adversary's win rate against every method's last policy, and how far that policy went for it.

    Each seed, mean and interval; the KL to the starting model on a logarithmic axis.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    methods = sorted(table.methods, key=lambda m: m.worst_case.mean)
    figure = figure_of(8.6, 1.1 + _ROW * len(methods))
    rates, kls = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    for row, method in enumerate(methods):
        colour = _colour(method)
        # an interval of two or three seeds can reach far beyond what a share can be
        low, high = max(method.worst_case.low, 0.0), min(method.worst_case.high, 1.0)
        rates.plot([low, high], [row, row], color=colour, lw=1.2, alpha=0.55, solid_capstyle="round")
        rates.plot([seed.mean for seed in method.worst_case.seeds], [row] * len(table.seeds), "|", color=colour, ms=9)
        rates.plot(method.worst_case.mean, row, "o", color=colour, ms=5.5)
        rates.plot(method.picked.mean, row, "o", mfc="none", mec=colour, ms=8.5, mew=0.9)
        if method.key != "start":
            kls.plot([seed.mean for seed in method.kl.seeds], [row] * len(table.seeds), "|", color=colour, ms=9)
            kls.plot(method.kl.mean, row, "o", color=colour, ms=5.5)
    means = [m.worst_case.mean for m in methods] + [m.picked.mean for m in methods]
    seeds = [seed.mean for m in methods for seed in m.worst_case.seeds]
    rates.set_xlim(min(0.48, *seeds) - 0.01, max(*means, *seeds) + 0.03)
    rates.axvline(0.5, color=_SOFT, lw=0.9, ls="--")
    rates.set_yticks(range(len(methods)), [m.title for m in methods], fontsize=9)
    rates.invert_yaxis()
    rates.set_xlabel("win rate of the strongest adversary (a Nash policy: .5)", fontsize=9)
    kls.set_xscale("log")
    kls.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    kls.xaxis.set_major_formatter("{x:g}")
    kls.xaxis.set_minor_formatter(NullFormatter())
    kls.set_xlabel("KL to the start, nats an answer", fontsize=9)
    for axes in (rates, kls):
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.grid(axis="x", color="0.93")
    rates.set_title(
        f"{table.part}, {table.judge}: disc the last policy (| its seeds), ring the best checkpoint by validation",
        fontsize=9, loc="left", x=0,
    )  # fmt: skip
    return figure


def cross_play_figure(table: ResultTable) -> Figure:
    """Win rates of rows against columns in percent, means over seeds, with half of each interval over prompts."""
    n = len(table.policies)
    figure = figure_of(2.6 + 0.52 * n, 1.9 + 0.46 * n)
    axes = figure.subplots()
    reach = max(0.05, float(np.abs(table.matrix - 0.5).max()))
    axes.imshow(table.matrix, cmap="RdBu", vmin=0.5 - reach, vmax=0.5 + reach, aspect="auto")
    for i in range(n):
        for j in range(n):
            if i != j:
                shown = f"{100 * table.matrix[i, j]:.0f}\n±{100 * table.half[i, j]:.1f}"
                dark = abs(table.matrix[i, j] - 0.5) > 0.7 * reach
                axes.text(j, i, shown, ha="center", va="center", fontsize=6.5, color="white" if dark else "0.1")
    axes.set_xticks(range(n), table.policies, fontsize=8, rotation=40, ha="right")
    axes.set_yticks(range(n), table.policies, fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(
        "win rate of the row against the column, %, mean over seeds (± of these prompts)", fontsize=9, loc="left"
    )
    return figure


def _colour(method: MethodResult) -> str:
    if method.key == "start":
        return _SOFT
    return _OURS if method.title.startswith("COMAL") else _OTHERS
