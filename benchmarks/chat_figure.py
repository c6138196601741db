"""Kinds of the answers step by step, a panel a method and a line a seed, as a picture.

    python benchmarks/chat_figure.py kinds.png runs/s0,runs/dpo0 runs/s1,runs/dpo1 runs/s2,runs/dpo2

Runs joined by a comma have one seed. The answers are those that each step was trained on.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from comal.pipeline.disk.files import read_table
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.run.resolved import method_names
from comal.tasks.everyday import kind_of

Shares = Mapping[str, NDArray[np.float64]]
"""Of each kind, shape (steps,)."""

COLOURS = {"brief": "#0072b2", "list": "#d55e00", "prose": "#009e73"}
TITLES = {"comal": "COMAL", "fixed-reference": "fixed reference", "self-play": "self-play", "mwu": "iterative DPO"}


def main() -> None:
    file, *groups = sys.argv[1:]
    draw(Path(file), [shares_of([RunFolder(Path(name)) for name in group.split(",")]) for group in groups])


def draw(file: Path, seeds: Sequence[Mapping[str, Shares]]) -> None:
    """The picture of several seeds' methods."""
    methods = list(dict.fromkeys(name for seed in seeds for name in seed))
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(2.6 * len(methods), 2.7), layout="constrained")
        for axes, name in zip(figure.subplots(1, len(methods), sharey=True, squeeze=False)[0], methods, strict=True):
            panel(axes, TITLES.get(name, name), [seed[name] for seed in seeds if name in seed])
        figure.axes[0].set_ylabel("share of the answers")
        figure.savefig(file, dpi=130)


def shares_of(runs: list[RunFolder]) -> dict[str, Shares]:
    """Of every method of the runs."""
    found: dict[str, Shares] = {}
    for run in runs:
        for name in method_names(run.recipe()):
            drawn = [read_table(step.samples)["text"] for step in run.method(name).step_folders()]
            kinds = [[kind_of(text) for text in texts] for texts in drawn]
            found[name] = {kind: np.array([step.count(kind) / len(step) for step in kinds]) for kind in COLOURS}
    return found


def panel(axes: Axes, title: str, seeds: list[Shares]) -> None:
    """One method: the first seed thick and named, the others thin."""
    axes.axhline(1 / 3, color="#888888", linestyle=":", linewidth=1)
    for kind, colour in COLOURS.items():
        for number, shares in enumerate(seeds):
            axes.plot(shares[kind], color=colour, linewidth=0.8 if number else 2, alpha=0.6 if number else 1)
    ends = sorted(COLOURS, key=lambda kind: seeds[0][kind][-1])
    heights = [max(0.04, float(seeds[0][kind][-1])) for kind in ends]
    for i in range(1, len(heights)):  # names that would lie on one another move apart
        heights[i] = max(heights[i], heights[i - 1] + 0.09)
    steps = len(seeds[0][ends[0]])
    for kind, height in zip(ends, heights, strict=True):
        axes.annotate(kind, (steps - 1, height), (4, 0), textcoords="offset points", va="center", color=COLOURS[kind])
    axes.set(
        title=title, xlabel="steps", ylim=(-0.02, 1.05), xlim=(0, max(1, steps - 1) * 1.28), xticks=range(0, steps, 5)
    )


if __name__ == "__main__":
    main()
