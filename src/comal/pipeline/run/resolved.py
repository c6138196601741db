"""A recipe with its plug-ins built: what a run works with, each of them made once and of its own type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from comal.algorithms.base import Algorithm
from comal.errors import ConfigError
from comal.evaluation.exploitability.scoreboard import START
from comal.judges.base import Judge
from comal.losses.base import Loss
from comal.pipeline.disk.layout import RUN_FOLDERS
from comal.plugins import describe
from comal.policies.engines.base import Engine
from comal.recipes.settings import Recipe, Spec
from comal.resolve import (
    Classifier,
    resolve_algorithm,
    resolve_classifier,
    resolve_engine,
    resolve_judge,
    resolve_loss,
)

_TAKEN = RUN_FOLDERS | {START, "now"}
"""Names that mean something else in a run's folder or among an evaluation's policies."""


@dataclass(frozen=True, slots=True)
class ResolvedRecipe:
    """A recipe and the plug-ins that it names.

    Attributes:
        recipe: as it was written.
        methods: algorithms by method, the main one first.
        judge: the one trained on.
        evaluation_judge: of held-out figures; the same unless the recipe names another.
        loss: by which proximal steps are trained.
        engine: by which answers are drawn.
    """

    recipe: Recipe
    methods: Mapping[str, Algorithm]
    judge: Judge
    evaluation_judge: Judge
    loss: Loss
    engine: Engine

    @property
    def algorithm(self) -> Algorithm:
        """The main method's."""
        return next(iter(self.methods.values()))

    @property
    def classify(self) -> Classifier | None:
        """Names an answer's class, where the recipe has classes; imported only when it is asked for.

        Raises:
            ConfigError: it cannot be imported.
        """
        return resolve_classifier(self.recipe.evaluation.classes, "evaluation.classes")

    def canonical(self) -> dict[str, Any]:
        """The recipe as plain values, every plug-in with all of its options, whether given or by default."""
        main, *others = self.methods
        plain = self.recipe.model_dump(mode="json")
        plain["algorithm"] = describe(self.methods[main])
        plain["judge"] = describe(self.judge)
        plain["training"]["loss"] = describe(self.loss)
        plain["sampling"]["engine"] = describe(self.engine)
        plain["baselines"] = {name: describe(self.methods[name]) for name in others}
        if self.recipe.evaluation.judge is not None:
            plain["evaluation"]["judge"] = describe(self.evaluation_judge)
        return plain


def resolve(recipe: Recipe) -> ResolvedRecipe:
    """Build a recipe's plug-ins; whether they fit each other is what `comal.pipeline.run.check` finds out.

    Raises:
        ConfigError: a plug-in that does not exist, cannot be imported or has wrong options.
    """
    main, *others = method_names(recipe)
    methods = {main: resolve_algorithm(recipe.algorithm, "algorithm")}
    methods |= {name: resolve_algorithm(recipe.baselines[name], f"baselines.{name}") for name in others}
    judge = evaluation_judge = resolve_judge(recipe.judge, "judge")
    loss = resolve_loss(recipe.training.loss, "training.loss")
    if recipe.evaluation.judge is not None:
        evaluation_judge = resolve_judge(recipe.evaluation.judge, "evaluation.judge")
    engine = resolve_engine(recipe.sampling.engine, "sampling.engine")
    return ResolvedRecipe(recipe, methods, judge, evaluation_judge, loss, engine)


def method_names(recipe: Recipe) -> dict[str, Spec]:
    """The methods of a run and their algorithms' specifications, the main one first; builds nothing.

    Raises:
        ConfigError: a name that cannot be a method's.
    """
    main = recipe.algorithm.get("name") if isinstance(recipe.algorithm, Mapping) else recipe.algorithm
    if not isinstance(main, str):
        raise ConfigError(
            "algorithm", f"expected the name of an algorithm, or a mapping with `name`, got {recipe.algorithm!r}"
        )
    label = main.rpartition(":")[2].lower()
    for name in recipe.baselines:
        if name in _TAKEN or not re.fullmatch(r"\w[\w.-]*", name):
            raise ConfigError(
                f"baselines.{name}",
                "a folder of the run or a policy cannot have this name; call the baseline something else",
            )
    if label in recipe.baselines:
        raise ConfigError(f"baselines.{label}", "this is the main algorithm's name; call the baseline something else")
    return {label: recipe.algorithm, **recipe.baselines}
