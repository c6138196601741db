"""Several runs on one page: final figures with intervals, curves over each other, settings that differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from comal.errors import RunError
from comal.reports.html.page import render_page, write_page
from comal.reports.html.plots.axes import shorten
from comal.reports.html.plots.dots import DotPlot, dot_plot
from comal.reports.html.plots.lines import LinePlot, Series, ValueAxis, line_plot
from comal.reports.html.run_data import START, MethodData, RunData, load_run
from comal.reports.html.settings_table import Setting, differing
from comal.reports.html.stages import missing
from comal.reports.html.verdict import setting_text
from comal.reports.html.wording import join, pct

DASHES = 4
"""Line styles of `page.css`; after so many runs they begin again."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A run under the name that tells it from the others."""

    label: str
    run: RunData
    number: int


def write_comparison(folders: Sequence[Path], output: Path) -> Path:
    """Write the comparison of several runs to `output`; returns where it is.

    Raises:
        RunError: a folder holds no run, comes twice, or the page cannot be written.
    """
    places = [folder.resolve() for folder in folders]
    for i, place in enumerate(places):
        if place in places[:i]:
            raise RunError(str(folders[i]), "this run is given twice; a comparison needs different ones")
    text = render_comparison([load_run(folder) for folder in folders])
    write_page(output, text)
    return output


def render_comparison(runs: Sequence[RunData]) -> str:
    """The page as text."""
    compared = [
        Compared(label, run, i)
        for i, (label, run) in enumerate(zip(labels([r.folder for r in runs]), runs, strict=True))
    ]
    colour = _colours(runs)
    method_toggles = [(_method_key(name, colour), number, name) for name, number in colour.items() if name != START]
    run_toggles = [(f"r{c.number}", c.number % DASHES, c.label) for c in compared]
    return render_page(
        "compare_report.html.j2",
        [key for key, _, _ in [*method_toggles, *run_toggles]],
        headline=headline(compared),
        compared=compared,
        settings={c.label: setting_text(c.run) for c in compared},
        missing={c.label: missing(c.run) for c in compared},
        table=_table(compared),
        colour=colour,
        start=START,
        result_plots=_result_plots(compared, colour),
        step_plots=_step_plots(compared, colour),
        method_toggles=method_toggles,
        run_toggles=run_toggles,
        differing=differences(runs),
        recipes=[
            (c.label, yaml.safe_dump(dict(c.run.recipe), sort_keys=False, allow_unicode=True, width=100))
            for c in compared
        ],
    )


def labels(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that tell folders apart.

    >>> labels([Path("a/runs/x"), Path("b/runs/x"), Path("b/runs/y")])
    ['a/runs/x', 'b/runs/x', 'y']
    """
    parts = [folder.resolve().parts for folder in folders]
    found = []
    for mine in parts:
        others = [other for other in parts if other != mine]
        depth = next((d for d in range(1, len(mine)) if all(mine[-d:] != other[-d:] for other in others)), len(mine))
        found.append("/".join(mine[-depth:]))
    return found


def headline(compared: Sequence[Compared]) -> str:
    """Which policy of which run is hardest to beat."""
    found = [(c.label, name, rate) for c in compared for name, rate in _worst_cases(c.run)]
    if not found:
        return f"{len(compared)} runs, none of them evaluated yet"
    label, name, rate = min(found, key=lambda item: float(item[2]["mean"]))
    level = [
        f"{name_} of {label_}"
        for label_, name_, r in found
        if (label_, name_) != (label, name) and r["low"] <= rate["high"]
    ]
    best = f"{name} of {label} is the hardest to beat: its strongest adversary beats it {pct(rate['mean'])} of the time"
    return best + (f", within the noise of {join(level)}" if level else "")


def differences(runs: Sequence[RunData]) -> list[Setting]:
    """Settings that differ, and versions, where they were recorded."""
    return differing([{"comal": run.version, **_versions(run), **run.recipe} for run in runs])


def _versions(run: RunData) -> dict[str, Any]:
    if not run.sessions:
        return {}
    last = run.sessions[-1]
    return {"commit": last.get("commit"), "python": last.get("python"), "libraries": last.get("libraries")}


def _worst_cases(run: RunData) -> list[tuple[str, Mapping[str, Any]]]:
    if run.result is None:
        return []
    return [(name, run.result["policies"][name]["worst_case"]) for name in run.result["methods"]]


def _table(compared: Sequence[Compared]) -> list[dict[str, Any]]:
    return [
        {
            "run": c.label,
            "number": c.number,
            "first": i == 0,
            "rows": len(c.run.result["policies"]),
            "name": name,
            "method": name.partition("@")[0],
            "win_rate": policy.get("win_rate"),
            "worst_case": policy["worst_case"],
            "adversary": " / ".join(dict.fromkeys(policy["worst_case"]["adversaries"])),
            "gap": policy["duality_gap"],
            "kl": policy["kl_start"],
            "tokens": policy["mean_tokens"],
        }
        for c in compared
        if c.run.result is not None
        for i, (name, policy) in enumerate(c.run.result["policies"].items())
    ]


def _colours(runs: Sequence[RunData]) -> dict[str, int]:
    """A colour a method's name, the same in all runs; the starting policies are grey."""
    names = dict.fromkeys(name for run in runs for name in run.policies)
    return {name: (i - 1) % 7 + 1 if i else 0 for i, name in enumerate([START, *(n for n in names if n != START)])}


def _method_key(name: str, colour: Mapping[str, int]) -> str:
    return f"m{list(colour).index(name)}"


def _result_plots(compared: Sequence[Compared], colour: Mapping[str, int]) -> list[DotPlot]:
    done = [(c, name) for c in compared if c.run.result is not None for name in c.run.result["methods"]]
    figures = (
        ("beats-start", "How often it beats its starting model", "win_rate"),
        ("exposed", "How often its strongest adversary beats it", "worst_case"),
    )
    rates = {
        key: [(c, name, rate) for c, name in done if (rate := (c.run.result or {})["policies"][name].get(key))]
        for _, _, key in figures
    }
    ends = [rate[end] for found in rates.values() for _, _, rate in found for end in ("low", "high")] + [0.5]
    domain = (max(0.0, min(ends) - 0.03), min(1.0, max(ends) + 0.03))
    return [
        dot_plot(
            id_,
            title,
            [(f"{name} of {c.label}", r["mean"], r["low"], r["high"], colour[name]) for c, name, r in rates[key]],
            domain,
            [_keys(c, name, colour) for c, name, _ in rates[key]],
        )
        for id_, title, key in figures
        if rates[key]
    ]


def _step_plots(compared: Sequence[Compared], colour: Mapping[str, int]) -> list[LinePlot]:
    last = max(int(c.run.recipe["steps"]) for c in compared)

    def series(figure: Callable[[Mapping[str, Any]], Any]) -> list[Series]:
        return [_series(c, m, colour, figure) for c in compared for m in c.run.methods]

    note = "validation prompts, 95% intervals"
    plots = [
        line_plot("gap", "Duality gap, at least", series(lambda look: look.get("duality_gap")), last,
                  note=note, axis=ValueAxis(floor_at=0.0, rule=(0.0, "Nash"))),
        line_plot("win-rate", "Win rate against the start", series(lambda look: look.get("win_rate")), last,
                  note=note, axis=ValueAxis(shares=True, rule=(0.5, "50%"))),
        line_plot("kl-start", "KL to the starting model, nats", series(lambda look: look.get("kl_start")), last,
                  note="validation prompts", axis=ValueAxis(floor_at=0.0)),
        line_plot("length", "Length of answers, tokens", series(lambda look: look.get("mean_tokens")), last,
                  note="validation prompts"),
    ]  # fmt: skip
    return [plot for plot in plots if plot is not None]


def _series(
    c: Compared, method: MethodData, colour: Mapping[str, int], figure: Callable[[Mapping[str, Any]], Any]
) -> Series:
    """A figure of a method's looks: estimates with their intervals, or plain numbers."""
    measured = [(look["step"], value) for look in method.looks if (value := figure(look)) is not None]
    estimates = [value for _, value in measured if isinstance(value, Mapping)]
    return Series(
        f"{method.name} of {c.label}",
        colour[method.name],
        [(step, value["mean"] if isinstance(value, Mapping) else value) for step, value in measured],
        [(value["low"], value["high"]) for value in estimates],
        keys=_keys(c, method.name, colour),
        dash=c.number % DASHES,
        label=f"{shorten(c.label, 9)} · {method.name}",
    )


def _keys(c: Compared, method: str, colour: Mapping[str, int]) -> str:
    return f"{_method_key(method, colour)} r{c.number}"
