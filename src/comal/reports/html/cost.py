"""Where a run's time went, and what it sampled and asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow.parquet as pq

from comal.pipeline.disk.method_folder import StepFolder
from comal.reports.html.plots.bars import BarPlot, bar_plot
from comal.reports.html.run_data import MethodData, RunData


@dataclass(frozen=True, slots=True)
class MethodCost:
    """The cost of one method's journaled steps.

    Attributes:
        seconds: by stage.
        answers, tokens: sampled for training; None where no sample is left.
        judge_calls, cache_hits: None in runs that did not count them. A step that was interrupted after it asked counts
            only what it asked when it went on.
    """

    name: str
    steps: int
    seconds: Mapping[str, float]
    pairs: int
    answers: int | None
    tokens: int | None
    judge_calls: int | None
    cache_hits: int | None

    @property
    def total(self) -> float:
        """Seconds of all stages."""
        return sum(self.seconds.values())


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a run's methods, and the stages that any of them timed."""

    stages: tuple[str, ...]
    methods: tuple[MethodCost, ...]
    plot: BarPlot | None


def cost(run: RunData) -> Cost:
    """Seconds, samples and verdicts by method."""
    stages = tuple(dict.fromkeys(stage for m in run.methods for step in m.steps for stage in step.seconds))
    methods = tuple(_method(m, stages) for m in run.methods)
    plot = bar_plot("seconds", "Time by stage, all steps together", [(m.name, m.seconds) for m in methods if m.steps])
    return Cost(stages, methods, plot)


def _method(method: MethodData, stages: tuple[str, ...]) -> MethodCost:
    steps = method.steps
    sampled = [(_rows(step.folder), step.tokens) for step in steps]
    known = [(rows, tokens) for rows, tokens in sampled if rows is not None and tokens is not None]
    calls = [step.judge_calls for step in steps if step.judge_calls is not None]
    hits = [step.cache_hits for step in steps if step.cache_hits is not None]
    return MethodCost(
        method.name,
        len(steps),
        {stage: sum(step.seconds.get(stage, 0.0) for step in steps) for stage in stages},
        sum(step.comparisons for step in steps),
        sum(rows for rows, _ in known) if known else None,
        round(sum(rows * tokens for rows, tokens in known)) if known else None,
        sum(calls) if calls else None,
        sum(hits) if hits else None,
    )


def _rows(folder: StepFolder) -> int | None:
    """Answers that a step drew to be trained on."""
    paths = folder.all_samples()
    return sum(int(pq.read_metadata(path).num_rows) for path in paths) if paths else None
