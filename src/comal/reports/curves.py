"""The report's figures of a run: dot plots of the result, curves over proximal steps, paths in the simplex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from comal.reports.class_shares import MALFORMED, ClassData
from comal.reports.figures_svg import DotPlot, LinePlot, Series, Simplex, dot_plot, line_plot, simplex
from comal.reports.run_data import START, MethodData, RunData

CLASS_COLOURS = (4, 5, 6, 7)  # not those of the first three methods
MALFORMED_COLOUR = 0
MANY_STEPS = 20
SMOOTHING = 5
"""A run of more than `MANY_STEPS` has its noisiest curves smoothed over so many."""


def colours(run: RunData) -> dict[str, int]:
    """Number of each policy's colour: 0 is the starting policy's grey; after seven methods they begin again."""
    known = {name: (i - 1) % 7 + 1 if i else 0 for i, name in enumerate(run.policies)}
    scored = run.result["policies"] if run.result is not None else {}
    return known | {name: known[name.partition("@")[0]] for name in scored}  # an earlier policy has its method's


def result_plots(run: RunData) -> list[DotPlot]:
    """Win rate against the start, and the worst case, by policy, on one common axis."""
    if run.result is None:
        return []
    policies: Mapping[str, Any] = run.result["policies"]
    number = colours(run)
    looks = [(name, policy["win_rate"]) for name, policy in policies.items() if name != START and "win_rate" in policy]
    exposed = [(name, policy["worst_case"]) for name, policy in policies.items()]
    ends = [rate[end] for _, rate in [*looks, *exposed] for end in ("low", "high")] + [0.5]
    domain = (max(0.0, min(ends) - 0.03), min(1.0, max(ends) + 0.03))

    def rows(rates: list[tuple[str, Any]]) -> list[tuple[str, float, float, float, int]]:
        return [(name, r["mean"], r["low"], r["high"], number[name]) for name, r in rates]

    return [
        dot_plot("How often it beats the starting model", rows(looks), domain),
        dot_plot("How often its strongest adversary beats it", rows(exposed), domain),
    ]


def step_plots(run: RunData) -> list[LinePlot]:
    """Win rate, worst case and KL on validation prompts, and the slope of every step."""
    last = int(run.recipe["steps"])
    smoothed = f", mean of {SMOOTHING} steps" if last > MANY_STEPS else ""
    plots = [
        line_plot(
            "Win rate against the start",
            [_look_series(run, m, "win_rate") for m in run.methods],
            last,
            note="validation prompts, 95% intervals",
            shares=True,
            rule=(0.5, "50%"),
        ),
        line_plot(
            "Worst case",
            [_look_series(run, m, "worst_case") for m in run.methods],
            last,
            note="win rate of the strongest adversary on validation prompts",
            shares=True,
            rule=(0.5, "50%"),
        ),
        line_plot(
            "KL to the starting model, nats",
            [_kl_series(run, m) for m in run.methods],
            last,
            note="validation prompts",
            floor_at=0.0,
        ),
        line_plot(
            "Achieved over asked change of log-ratios",
            [_slope_series(run, m) for m in run.methods],
            last,
            note=f"on prompts not trained on{smoothed}; 1 is a whole proximal step",
            floor_at=0.0,
            rule=(1.0, "all"),
            dots=False,
        ),
    ]
    return [plot for plot in plots if plot is not None]


def share_plots(run: RunData, classes: ClassData) -> list[LinePlot]:
    """Share of each class over proximal steps, a figure a method."""
    plots = []
    for method in run.methods:
        points = classes.shares[method.name]
        series = [
            Series(name, _class_colour(name, i), [(step, shares.get(name, 0.0)) for step, shares in points])
            for i, name in enumerate(classes.names)
        ]
        last = int(run.recipe["steps"])
        plots.append(line_plot(method.name, series, last, shares=True, floor_at=0.0, top_at=1.0, dots=False))
    return [plot for plot in plots if plot is not None]


def simplex_plots(run: RunData, classes: ClassData) -> list[Simplex]:
    """The path of each method in the simplex of three classes; none where there are not exactly three."""
    corners = classes.corners
    if corners is None:
        return []
    a, b, c = corners
    star = classes.game.nash if classes.game is not None else ()
    number = colours(run)
    return [
        simplex(m.name, number[m.name], (a, b, c), path, m.moves, star)
        for m in run.methods
        if (path := classes.path(m.name))
    ]


def _class_colour(name: str, index: int) -> int:
    return MALFORMED_COLOUR if name == MALFORMED else CLASS_COLOURS[index % len(CLASS_COLOURS)]


def _look_series(run: RunData, method: MethodData, figure: str) -> Series:
    looks = [look for look in method.looks if figure in look]
    return Series(
        method.name,
        colours(run)[method.name],
        [(look["step"], look[figure]["mean"]) for look in looks],
        [(look[figure]["low"], look[figure]["high"]) for look in looks],
        method.moves,
    )


def _kl_series(run: RunData, method: MethodData) -> Series:
    points = [(look["step"], look["kl_start"]) for look in method.looks]
    return Series(method.name, colours(run)[method.name], [(0.0, 0.0), *points] if points else [], moves=method.moves)


def _slope_series(run: RunData, method: MethodData) -> Series:
    steps = [step.number + 1 for step in method.steps if step.slope is not None]
    slopes = [step.slope for step in method.steps if step.slope is not None]
    if int(run.recipe["steps"]) > MANY_STEPS:
        slopes = running_mean(slopes, SMOOTHING)
    points = list(zip(steps, slopes, strict=True))
    return Series(method.name, colours(run)[method.name], points, moves=method.moves)


def running_mean(values: Sequence[float], width: int) -> list[float]:
    """The mean of the `width` values around each (odd), fewer but as many on both sides near the ends."""
    reach = [min(width // 2, i, len(values) - 1 - i) for i in range(len(values))]
    return [sum(values[i - r : i + r + 1]) / (2 * r + 1) for i, r in enumerate(reach)]
