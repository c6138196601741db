"""What a certification can be told; its defaults come from a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import model_validator

from comal.algorithms.base import TARGET, Algorithm, ProxStep, Step
from comal.errors import ConfigError
from comal.pipeline.run.resolved import ResolvedRecipe
from comal.pipeline.step.fits import refuse_unsampleable
from comal.plugins import describe
from comal.recipes.settings import (
    Count,
    EvaluationSettings,
    Recipe,
    SamplingSettings,
    Settings,
    Spec,
    TrainingSettings,
    require_draws,
)

STEPS, EVERY = 40, 8


class CertifySettings(Settings):
    """How exploiters are trained and everything is measured.

    Attributes:
        judge: under which exploiters are trained and all win rates measured; by default the recipe's evaluation judge,
            or else the judge it trains on.
        algorithm: the exploiter's; by default `best_response` with the recipe's step size.
        steps: proximal steps of each exploiter.
        every: steps between looks at the validation prompts, one of which picks the exploiter.
        starts: what exploiters are trained from: the policy itself, the model that alignment starts from. One that
            starts from a collapsed policy under-reports, since it cannot sample what would beat it.
        answers_shown: how many answers of the policy an exploiter's one is up against; by default the recipe's.
        seed: of everything drawn.
        sampling, training: as in a recipe; the learning rate stays constant unless a final one is given.
        evaluation: sizes of the measurements; `judge` and `every` are given above.
        processes, threads: as in a recipe; exploiters are trained side by side.
    """

    judge: Spec
    algorithm: Spec
    steps: Count = STEPS
    every: Count = EVERY
    starts: tuple[Literal["policy", "start"], ...] = ("policy", "start")
    answers_shown: Count = 1
    seed: int = 0
    sampling: SamplingSettings
    training: TrainingSettings
    evaluation: EvaluationSettings
    processes: Count = 1
    threads: Count | None = None

    @model_validator(mode="after")
    def _consistent(self) -> CertifySettings:
        if self.evaluation.judge is not None or self.evaluation.every is not None:
            raise ValueError("set `judge` and `every` themselves, not `evaluation.judge` or `evaluation.every`")
        if min(self.evaluation.test_prompts, self.evaluation.validation_prompts) < 2:
            raise ValueError("an interval needs two prompts: raise evaluation.test_prompts or .validation_prompts")
        require_draws(self.answers_shown, self.sampling)
        if self.answers_shown > self.evaluation.samples:
            raise ValueError(
                f"evaluation.samples: an exploiter is measured against {self.answers_shown} answers (`answers_shown`), "
                f"and there are {self.evaluation.samples}; raise it"
            )
        return self

    def recipe(self, recipe: Recipe) -> Recipe:
        """The recipe that an exploiter follows: the policy, prompts and stages of `recipe`, the rest as said here."""
        shared = ("judge", "algorithm", "answers_shown", "steps", "seed", "sampling", "training")
        own = {name: getattr(self, name) for name in shared}
        evaluation = self.evaluation.model_copy(update={"every": self.every})
        return recipe.model_copy(
            update=own
            | {"evaluation": evaluation, "baselines": {}, "processes": self.processes, "threads": self.threads}
        )


def defaults(resolved: ResolvedRecipe) -> dict[str, Any]:
    """Plain values of the settings for policies of a recipe, to be changed by a user's."""
    recipe, loss = resolved.recipe, resolved.loss
    training = recipe.training.model_dump(mode="json") | {"final_learning_rate": None}
    # The label of a selected pair is no estimate of the win rate against a target that drew neither answer.
    training |= {"loss": "group", "pairing": None} if loss.pairs else {"loss": describe(loss)}
    return {
        "judge": describe(resolved.evaluation_judge),
        "algorithm": {"name": "best_response"} | _step_size(resolved.algorithm),
        "answers_shown": recipe.answers_shown,
        "seed": recipe.seed,
        "sampling": recipe.sampling.model_dump(mode="json"),
        "training": training,
        "evaluation": recipe.evaluation.model_dump(mode="json") | {"judge": None, "every": None},
        "processes": recipe.processes,
        "threads": recipe.threads,
    }


def canonical(settings: CertifySettings, exploiter: ResolvedRecipe) -> dict[str, Any]:
    """The settings as plain values, every plug-in with all of its options.

    Args:
        settings: as they were given.
        exploiter: the recipe that they make, resolved.
    """
    plain = settings.model_dump(mode="json")
    plain["judge"] = describe(exploiter.judge)
    plain["algorithm"] = describe(exploiter.algorithm)
    plain["training"]["loss"] = describe(exploiter.loss)
    return plain


def _step_size(algorithm: Algorithm) -> dict[str, float]:
    plain = describe(algorithm)
    inner = plain.get("inner") if isinstance(plain.get("inner"), Mapping) else plain
    eta = None if inner is None else inner.get("eta")
    return {} if eta is None else {"eta": float(eta)}


def require_target(algorithm: Algorithm) -> None:
    """Refuse an algorithm that never looks at the target: it would train something, but no exploiter.

    Raises:
        ConfigError: the algorithm plays against other roles only.
    """
    program = refuse_unsampleable(algorithm, "algorithm")
    steps = [i for i in program if isinstance(i, Step)]
    if not all(
        isinstance(step, ProxStep) and any(mix.only_role == TARGET for _, mix in step.opponent.terms) for step in steps
    ):
        raise ConfigError("algorithm", "an exploiter plays against the policy to be certified; use `best_response`")
