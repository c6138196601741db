"""Figures and tables of the comparison of methods on matrix games."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from comal.experiments.matrix_games.cells import Band, CellResult
from comal.experiments.matrix_games.family import AUTOMATIC
from comal.reports.figures.games import OKABE_ITO, figure_of, gap_axes, labels_apart

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

_TITLES = {
    "exact": "the whole table, exact steps",
    "reuse": "single comparisons, reused",
    "chosen": "single comparisons, reused, and chosen for every method as for COMAL",
    "fresh": "single comparisons, each used once",
}
_FLOOR = 1e-13
_OURS = OKABE_ITO[6]  # black; the others share the colours before it, six a line style
_COLOURS = 6
_STYLES = ("-", (0, (4, 2)), (0, (1, 1.5)))


def interpreters(results: Sequence[CellResult]) -> list[str]:
    """The interpreters among the results, in order of appearance."""
    return list(dict.fromkeys(result.cell.interpreter for result in results))


def chosen(results: Sequence[CellResult], interpreter: str) -> list[tuple[CellResult, CellResult]]:
    """For each method its result at the default setting and at the best of all settings tried, best defaults first.

    The best setting is chosen on the very games it is shown on, in favour of the method that has it.
    """
    methods = dict.fromkeys(r.cell.method for r in results if r.cell.interpreter == interpreter)
    pairs = []
    for method in methods:
        own = [r for r in results if r.cell.interpreter == interpreter and r.cell.method == method]
        default = next((r for r in own if r.default), own[0])
        pairs.append((default, min(own, key=lambda r: r.last.mean)))
    return sorted(pairs, key=lambda pair: pair[0].last.mean)


def comparison_figure(title: str, results: Sequence[CellResult]) -> Figure:
    """The mean gap over oracle calls with its 95% band, methods at their defaults, a panel an interpreter."""
    kinds = interpreters(results)
    figure = figure_of(6.4 * len(kinds), 4.2)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    panels = figure.subplots(1, len(kinds), squeeze=False)[0]
    names = sorted({r.cell.method for r in results}, key=lambda name: (name != AUTOMATIC, name))
    for panel, kind in zip(panels, kinds, strict=True):
        ends = []
        for default, _ in chosen(results, kind):
            i = names.index(default.cell.method)
            colour = _OURS if default.cell.method == AUTOMATIC else OKABE_ITO[i % _COLOURS]
            calls = default.calls
            curve = default.curve
            mean, low, high = (
                [max(value, _FLOOR) for value in values]
                for values in ([b.mean for b in curve], [b.low for b in curve], [b.high for b in curve])
            )
            wide = default.cell.method == AUTOMATIC
            style = "-" if wide else _STYLES[i // _COLOURS]
            panel.plot(calls, mean, color=colour, lw=2.2 if wide else 1.1, ls=style, zorder=3 if wide else 2)
            panel.fill_between(calls, low, high, color=colour, alpha=0.13, lw=0)
            ends.append((mean[-1], default.cell.method, colour))
        exact = kind == "exact"
        # bands of a mean near 0 reach below any logarithm
        panel.set_ylim(min(end for end, _, _ in ends) / 2, 1.1)
        gap_axes(panel, "matrix-vector products" if exact else "comparisons")
        panel.set_xscale("log" if exact else "linear")
        panel.set_xlim(max(calls[0], 1) if exact else calls[0], calls[-1])
        panel.set_title(_TITLES[kind], fontsize=9, loc="left")
        for y, (_, name, colour) in zip(labels_apart(panel, [end for end, _, _ in ends]), ends, strict=True):
            panel.annotate(name, (1, y), xycoords="axes fraction", xytext=(5, 0), textcoords="offset points",
                           color=colour, va="center", fontsize=8, annotation_clip=False)  # fmt: skip
    return figure


def comparison_table(title: str, results: Sequence[CellResult], interpreter: str) -> Table:
    """Last and best gap at the defaults, and the last gap at the best setting tried."""
    from rich.table import Table

    table = Table(title=f"{title}: {_TITLES[interpreter]}", title_justify="left", box=None, pad_edge=False)
    table.add_column("duality gap", no_wrap=True)
    for heading in ("last", "best", "tuned", "at"):
        table.add_column(heading, justify="left" if heading == "at" else "right")
    for default, tuned in chosen(results, interpreter):
        table.add_row(
            default.cell.method,
            _interval(default.last),
            f"{default.best.mean:.2g}",
            "–" if tuned is default else _interval(tuned.last),
            "" if tuned is default else tuned.settings,
        )
    return table


def _interval(value: Band) -> str:
    return f"{value.mean:.3g} ±{(value.high - value.low) / 2:.1g}"


def schedule_table(results: Sequence[CellResult]) -> Table:
    """The best manual schedule of the development games beside the automatic rule, on games neither was chosen on."""
    from rich.table import Table

    table = Table(title="COMAL: automatic rule and manual schedule", title_justify="left", box=None, pad_edge=False)
    for heading in ("games", "rule", "setting", "last"):
        table.add_column(heading, justify="right" if heading == "last" else "left")
    searched = [r for r in results if r.cell.games.startswith("development")]
    best = min((r for r in searched if r.cell.method != AUTOMATIC), key=lambda r: r.last.mean)
    automatic = [r for r in searched if r.cell.method == AUTOMATIC]
    for result in [best, *automatic, *(r for r in results if r not in searched)]:
        table.add_row(result.cell.games, result.cell.method, result.settings, _interval(result.last))
    return table
