"""The report's figures of a run: dot plots of the result, curves over proximal steps, paths in the simplex."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from comal.reports.html.class_shares import MALFORMED, ClassData
from comal.reports.html.plots.dots import DotPlot, dot_plot
from comal.reports.html.plots.lines import LinePlot, Series, ValueAxis, line_plot
from comal.reports.html.plots.simplex import Simplex, simplex
from comal.reports.html.run_data import START, MethodData, RunData, Step

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


def keys(run: RunData) -> dict[str, str]:
    """The CSS class by which a page's checkbox hides a policy: one a method, shared by its earlier policies."""
    number = {name: f"m{i}" for i, name in enumerate(run.policies)}
    scored = run.result["policies"] if run.result is not None else {}
    return number | {name: number[name.partition("@")[0]] for name in scored}


def result_plots(run: RunData) -> list[DotPlot]:
    """Win rate against the start, and the worst case, by policy, on one common axis."""
    if run.result is None:
        return []
    policies: Mapping[str, Any] = run.result["policies"]
    number, hidden_by = colours(run), keys(run)
    looks = [(name, policy["win_rate"]) for name, policy in policies.items() if name != START and "win_rate" in policy]
    exposed = [(name, policy["worst_case"]) for name, policy in policies.items()]
    ends = [rate[end] for _, rate in [*looks, *exposed] for end in ("low", "high")] + [0.5]
    domain = (max(0.0, min(ends) - 0.03), min(1.0, max(ends) + 0.03))

    def plot(id: str, title: str, rates: list[tuple[str, Any]]) -> DotPlot:  # noqa: A002
        rows = [(name, r["mean"], r["low"], r["high"], number[name]) for name, r in rates]
        return dot_plot(id, title, rows, domain, [hidden_by[name] for name, _ in rates])

    return [
        plot("beats-start", "How often it beats the starting model", looks),
        plot("exposed", "How often its strongest adversary beats it", exposed),
    ]


def step_plots(run: RunData) -> list[LinePlot]:
    """Gap, win rate and KLs over proximal steps, and how much of each step training achieved."""
    last = int(run.recipe["steps"])
    smoothed = f", mean of {SMOOTHING} steps" if last > MANY_STEPS else ""
    plots = [
        line_plot(
            "gap",
            "Duality gap, at least",
            [_look_series(run, m, "duality_gap") for m in run.methods],
            last,
            note="twice the excess over 50% of the strongest adversary; validation prompts, 95% intervals",
            axis=ValueAxis(floor_at=0.0, rule=(0.0, "Nash")),
        ),
        line_plot(
            "win-rate",
            "Win rate against the start",
            [_look_series(run, m, "win_rate") for m in run.methods],
            last,
            note="validation prompts, 95% intervals",
            axis=ValueAxis(shares=True, rule=(0.5, "50%")),
        ),
        line_plot(
            "kl-start",
            "KL to the starting model, nats",
            [_kl_series(run, m) for m in run.methods],
            last,
            note="validation prompts",
            axis=ValueAxis(floor_at=0.0),
        ),
        line_plot(
            "kl-reference",
            "KL to the reference, nats",
            [_step_series(run, m, lambda step: step.kl_reference) for m in run.methods],
            last,
            note="training prompts, before each step; falls to 0 where the reference moves to the policy",
            axis=ValueAxis(floor_at=0.0),
            dots=False,
        ),
        line_plot(
            "slope",
            "Achieved over asked change of log-ratios",
            [_step_series(run, m, lambda step: step.slope, after=True, smooth=True) for m in run.methods],
            last,
            note=f"on prompts not trained on{smoothed}; 1 is a whole proximal step",
            axis=ValueAxis(floor_at=0.0, rule=(1.0, "all")),
            dots=False,
        ),
    ]
    return [plot for plot in plots if plot is not None]


def length_plots(run: RunData) -> list[LinePlot]:
    """Mean length of answers, and how many hit the length limit, over proximal steps."""
    last = int(run.recipe["steps"])
    plots = [
        line_plot(
            "length",
            "Length of answers, tokens",
            [_step_series(run, m, lambda step: step.tokens if step.samples_policy else None) for m in run.methods],
            last,
            note="mean, as sampled for training",
            dots=False,
        ),
        line_plot(
            "unfinished",
            "Answers that hit the length limit",
            [_step_series(run, m, lambda step: step.unfinished if step.samples_policy else None) for m in run.methods],
            last,
            note="as sampled for training",
            axis=ValueAxis(shares=True, floor_at=0.0),
            dots=False,
        ),
    ]
    return [plot for plot in plots if plot is not None]


def share_plots(run: RunData, classes: ClassData) -> list[LinePlot]:
    """Share of each class over proximal steps, a figure a method."""
    plots = []
    for number, method in enumerate(run.methods):
        points = classes.shares[method.name]
        series = [
            Series(
                name,
                _class_colour(name, i),
                [(step, shares.get(name, 0.0)) for step, shares in points],
                keys=f"k{i}",
            )
            for i, name in enumerate(classes.names)
        ]
        last = int(run.recipe["steps"])
        plots.append(
            line_plot(
                f"shares-{number}",
                method.name,
                series,
                last,
                axis=ValueAxis(shares=True, floor_at=0.0, top_at=1.0),
                dots=False,
            )
        )
    return [plot for plot in plots if plot is not None]


def simplex_plots(run: RunData, classes: ClassData) -> list[Simplex]:
    """The path of each method in the simplex of three classes; none where there are not exactly three."""
    corners = classes.corners
    if corners is None:
        return []
    a, b, c = corners
    star = classes.game.nash if classes.game is not None else ()
    number, hidden_by = colours(run), keys(run)
    return [
        simplex(f"path-{i}", m.name, number[m.name], (a, b, c), path, m.moves, star, hidden_by[m.name])
        for i, m in enumerate(run.methods)
        if (path := classes.path(m.name))
    ]


def class_toggles(classes: ClassData) -> list[tuple[str, int, str]]:
    """Checkbox, colour and name of each class."""
    return [(f"k{i}", _class_colour(name, i), name) for i, name in enumerate(classes.names)]


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
        keys(run)[method.name],
    )


def _kl_series(run: RunData, method: MethodData) -> Series:
    points = [(look["step"], look["kl_start"]) for look in method.looks]
    start = [(0.0, 0.0), *points] if points else []
    return Series(method.name, colours(run)[method.name], start, moves=method.moves, keys=keys(run)[method.name])


def _step_series(
    run: RunData,
    method: MethodData,
    figure: Callable[[Step], float | None],
    *,
    after: bool = False,
    smooth: bool = False,
) -> Series:
    """A figure of every journaled step, at the number of steps before it (`after`: counting it)."""
    measured = [(step.number + after, value) for step in method.steps if (value := figure(step)) is not None]
    values = [value for _, value in measured]
    if smooth and int(run.recipe["steps"]) > MANY_STEPS:
        values = running_mean(values, SMOOTHING)
    points = [(float(at), value) for (at, _), value in zip(measured, values, strict=True)]
    return Series(method.name, colours(run)[method.name], points, moves=method.moves, keys=keys(run)[method.name])


def running_mean(values: Sequence[float], width: int) -> list[float]:
    """The mean of the `width` values around each (odd), fewer but as many on both sides near the ends."""
    reach = [min(width // 2, i, len(values) - 1 - i) for i in range(len(values))]
    return [sum(values[i - r : i + r + 1]) / (2 * r + 1) for i, r in enumerate(reach)]
