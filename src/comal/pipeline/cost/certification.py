"""What `comal certify` with its default settings would cost after a run of a recipe."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from comal.algorithms.base import TARGET
from comal.errors import ConfigError, RunError
from comal.pipeline.certify.settings import CertifySettings, defaults
from comal.pipeline.cost.calls import calls_of
from comal.pipeline.cost.walk import method_cost
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.run.resolved import ResolvedRecipe, method_names, resolve
from comal.recipes.settings import Recipe

_CLASSES = 4  # found in the answers, so not known here
_ORIGINS = 4  # of best-of-N: the start, the policy itself, two exploiters


def certify_cost(resolved: ResolvedRecipe, validations: int, tests: int) -> dict[str, Any]:
    """Exploiters, proximal steps and judged pairs of certifying every method's last policy.

    Args:
        resolved: the recipe of the run.
        validations: validation prompts there are, at most.
        tests: test prompts there are, at most.

    Returns:
        `exploiters`, `steps` (of all of them), `training` and `measuring` (pairs of answers compared, at most but for
        more than four classes), `judge_calls`; only `problem` where the defaults do not fit the recipe.
    """
    try:
        settings = CertifySettings(**defaults(resolved))
        exploiter = resolve(settings.recipe(resolved.recipe))
        # Of one that starts from elsewhere; one that starts from its target meets itself at first, which takes less.
        one = method_cost("exploiter", exploiter.algorithm, exploiter.recipe, {TARGET: "target"})
    except (ConfigError, ValueError) as error:
        return {"problem": str(error)}
    policies = len(resolved.methods)
    exploiters = policies * len(settings.starts)
    evaluation = settings.evaluation
    pair = evaluation.samples**2
    look = min(evaluation.validation_prompts, validations) * pair
    pool = policies * (2 + evaluation.pool_size) + len(settings.starts)  # all others: last, picked, earlier, exploiters
    best = sum(evaluation.best_of) * _ORIGINS * evaluation.samples
    classes = _CLASSES * evaluation.samples if evaluation.classes is not None else 0
    training = exploiters * (one["comparisons"] + one["looks"] * look)
    measuring = policies * min(evaluation.test_prompts, tests) * (pool * pair + best + classes)
    return {
        "exploiters": exploiters,
        "steps": exploiters * settings.steps,
        "training": training,
        "measuring": measuring,
        "judge_calls": (training + measuring) * calls_of(exploiter.judge),
    }


def minutes_at_the_pace_of(run: Path, recipe: Recipe, cost: dict[str, Any], run_measuring: int) -> int | None:
    """Minutes that a certification takes about, from the times of a finished run; None without one.

    Its steps took what the exploiters' will, and a pair in its evaluations what one in the measurements will.

    Args:
        run: a folder.
        recipe: of the plan; a run of another model, other methods or other sizes says nothing.
        cost: as of `certify_cost`.
        run_measuring: pairs compared by the run's own final evaluation.
    """
    made_by = RunFolder(run)
    if not (made_by.is_finished and made_by.timing_path.is_file() and "steps" in cost):
        return None
    try:
        timing, made = made_by.timing(), made_by.written()["recipe"]
    except RunError:  # of another version of comal
        return None
    plain = recipe.model_dump(mode="json")
    if any(made.get(part) != plain[part] for part in ("policy", "sampling", "steps", "processes", "threads")):
        return None
    if len(made["baselines"]) != len(recipe.baselines) or not {"methods", "evaluation"} <= timing.keys():
        return None
    step: float = timing["methods"] / (len(method_names(recipe)) * recipe.steps)
    seconds: float = cost["steps"] * step + timing["evaluation"] * cost["measuring"] / run_measuring
    return math.ceil(seconds / 60)
