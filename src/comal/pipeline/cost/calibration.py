"""A recipe priced on this machine: unit costs measured, multiplied by what the run does, in hours, bytes and money."""

from __future__ import annotations

import dataclasses
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

import torch

from comal.judges.base import Judge
from comal.pipeline.cost.clock import EngineClock, Seconds
from comal.pipeline.cost.estimate import Share, seconds_of
from comal.pipeline.cost.measured import Measured, device, measured
from comal.pipeline.cost.process_start import process_start
from comal.pipeline.cost.unit_cost import UnitCost
from comal.pipeline.cost.work import STAGES, Known, Task, Unit, work_of
from comal.pipeline.processes.distributed import prepare_process
from comal.pipeline.run.check import check
from comal.pipeline.run.resolved import ResolvedRecipe, resolve
from comal.recipes.settings import Recipe

_USUAL_TOKEN = 4  # bytes of a judge's token

_BY_TOKEN: dict[Unit, str] = {
    "answer": "sampling", "scored answer": "scoring", "prompt": "training", "pair": "judging",
}  # fmt: skip


def calibrate(
    recipe: Recipe, counted: dict[str, Any], *, ask_judge: bool = False, hour_price: float | None = None
) -> dict[str, Any]:
    """What `comal plan --calibrate` adds to a plan; measures for about a minute, or as long as a few batches take.

    Args:
        recipe: the recipe.
        counted: its plan, as of `recipe_cost`.
        ask_judge: whether a judge that costs something for each call may be asked a few questions.
        hour_price: money for an hour of this machine.

    Raises:
        ComalError: nothing can be measured, or whatever would stop the run.
    """
    resolved = resolve(recipe)
    check(resolved)
    work_of(resolved, Known(pairs=0, validation=0, test=0))  # refuses before anything is measured
    prepare_process(recipe.threads)
    with tempfile.TemporaryDirectory(prefix="comal-calibrate-") as folder:
        found = measured(resolved, Path(folder), EngineClock(), ask_judge)
    started, prepared = process_start(recipe)
    costs = dict(found.costs)
    costs["process"] = UnitCost(costs["process"].unit + started.unit)
    costs["data"] = prepared
    return priced(resolved, dataclasses.replace(found, costs=costs), counted, hour_price)


def priced(
    resolved: ResolvedRecipe, found: Measured, counted: dict[str, Any], hour_price: float | None
) -> dict[str, Any]:
    """The figures of a calibrated plan, in JSON types; `docs/planning.md` says what each is.

    Args:
        resolved: the recipe.
        found: unit costs and sizes.
        counted: its plan, as of `recipe_cost`.
        hour_price: money for an hour of this machine.
    """
    recipe, tasks, share = resolved.recipe, work_of(resolved, found.known), _share(resolved.recipe)
    estimate = seconds_of(tasks, found.costs, share)
    unmeasured = {unit: round(units) for unit, units in estimate.unmeasured.items()}
    return {
        "machine": {"device": device(), "processor": platform.machine(), "cores": cores(), "threads": _threads(recipe)},
        "unit_costs": {unit: _cost(cost) for unit, cost in found.costs.items()},
        "a_token": _a_token(found, recipe),
        "lengths": dataclasses.asdict(found.lengths),
        "work": [dataclasses.asdict(task) | {"units": task.units} for task in tasks],
        "stages": {stage: _seconds(estimate.stages[stage]) for stage in STAGES if stage in estimate.stages},
        "methods": {name: _seconds(spent) for name, spent in estimate.methods.items()},
        "once": _seconds(estimate.once),
        "side_by_side": {"processes": share.processes, "slower": share.slower},
        "seconds": estimate.wall,
        "hours": estimate.wall / 3600,
        "cpu_seconds": estimate.cpu,
        "unmeasured": unmeasured,
        "memory": {
            "peak": found.memory.bytes,
            "of": found.memory.of,
            "processes": share.processes,
            "engine": found.engine_bytes,
        },
        "disk": _disk(found, tasks, recipe, counted),
        "money": _money(resolved, found, tasks, estimate.wall, hour_price),
    }


def _seconds(spent: Seconds) -> dict[str, float]:
    return {"seconds": spent.wall, "cpu_seconds": spent.cpu}


def _cost(cost: UnitCost) -> dict[str, Any]:
    return {
        "unit": _seconds(cost.unit),
        "batch": _seconds(cost.fixed),
        "at_once": cost.at_once,
        "first": _seconds(cost.first),
    }


def _a_token(found: Measured, recipe: Recipe) -> dict[str, dict[str, float]]:
    """Seconds of a token of an answer by what is done with it, at the size of call that was measured."""
    K, mean = recipe.sampling.samples, max(found.lengths.mean, 1e-9)
    tokens = {"answer": mean, "scored answer": mean, "prompt": K * mean, "pair": 2 * mean}
    whole = {"answer": K * recipe.sampling.prompts, "scored answer": K * recipe.sampling.prompts,
             "prompt": recipe.sampling.prompts, "pair": recipe.sampling.prompts * K * (K - 1) // 2}  # fmt: skip
    return {
        name: _seconds(found.costs[unit].of(whole[unit]) * (1 / (whole[unit] * tokens[unit])))
        for unit, name in _BY_TOKEN.items()
        if unit in found.costs
    }


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threads(recipe: Recipe) -> int:
    return recipe.threads or torch.get_num_threads()


def _share(recipe: Recipe) -> Share:
    processes = min(recipe.processes, 1 + len(recipe.baselines))
    if torch.cuda.is_available():
        return Share(processes)
    return Share(processes, _threads(recipe), cores())


def _disk(found: Measured, tasks: list[Task], recipe: Recipe, counted: dict[str, Any]) -> dict[str, int]:
    """Bytes that stay: checkpoints that were looked at or are still played, and what was drawn and judged."""
    answers = sum(t.units for t in tasks if t.unit in ("answer", "start's answer"))
    checkpoints = counted["total"]["checkpoints"] * found.checkpoint_bytes
    optimizers = (1 + len(recipe.baselines)) * found.optimizer_bytes
    tables = round(answers * found.table_bytes)
    return {
        "checkpoint": found.checkpoint_bytes,
        "optimizer": found.optimizer_bytes,
        "total": checkpoints + optimizers + tables,
    }


def _money(
    resolved: ResolvedRecipe, found: Measured, tasks: list[Task], seconds: float, hour_price: float | None
) -> dict[str, Any]:
    """Of the machine, where its price is known, and of a metered judge at the measured lengths."""
    judges: dict[str, tuple[Judge, Unit]] = {
        "training": (resolved.judge, "pair"),
        "evaluation": (resolved.evaluation_judge, "evaluated pair"),
    }
    spent: dict[str, Any] = {}
    for use, (judge, unit) in judges.items():
        one = judge.spend_bound(round(found.prompt_bytes), round(found.lengths.mean_bytes), _USUAL_TOKEN)
        if one is not None:
            pairs = round(sum(t.units for t in tasks if t.unit == unit))
            spent[use] = dataclasses.asdict(one * (pairs * (1 if judge.symmetric else 2)))
    machine = None if hour_price is None else seconds / 3600 * hour_price
    return {"machine": machine, "judge": spent}
