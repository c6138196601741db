"""What the experiment's methods are derived from: one recipe with COMAL as its algorithm.

Its step sizes, regularisation, schedule and number of judged pairs are those of all methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from comal.algorithms.comal import COMAL
from comal.errors import ConfigError
from comal.experiments.language_model.plan import Changes, Entry
from comal.pipeline.cost.equal_calls import work_of
from comal.pipeline.step.sampler import pairs_judged
from comal.plugins import describe
from comal.recipes.settings import Recipe
from comal.resolve import resolve_algorithm

_SHORTER, _FEWER = 6, 4


@dataclass(frozen=True, slots=True)
class Basis:
    """What everything is derived from.

    Attributes:
        eta, tau, inner_steps: of the recipe's COMAL.
        pairs: that the judge compares in training it.
    """

    recipe: Recipe
    eta: float
    tau: float
    inner_steps: int
    pairs: int

    @classmethod
    def of(cls, recipe: Recipe) -> Basis:
        """From a recipe.

        Raises:
            ConfigError: its algorithm is not COMAL with a number of inner steps.
        """
        rule = resolve_algorithm(recipe.algorithm, "algorithm")
        eta = getattr(rule.inner, "eta", None) if isinstance(rule, COMAL) else None
        if not isinstance(rule, COMAL) or rule.inner is None or rule.inner_steps is None or eta is None:
            raise ConfigError(
                "algorithm",
                "the experiment derives all methods from COMAL with a number of inner steps; use a recipe whose "
                "algorithm is `{name: comal, inner: {name: inpo, eta: ..., tau: ...}, inner_steps: ..., update: copy}`",
            )
        pairs = work_of(rule, recipe.sampling, recipe.steps).pairs
        return cls(recipe, float(eta), rule.inner.tau, rule.inner_steps, pairs)

    @property
    def judge(self) -> Any:
        """The judge that measures: the recipe's evaluation judge, or else the one that is trained on."""
        own = self.recipe.evaluation.judge
        return self.recipe.judge if own is None else own

    @property
    def regularised(self) -> dict[str, float]:
        """Options of a regularised algorithm."""
        return {"eta": self.eta, "tau": self.tau}

    def comal(self, inner: str = "inpo", rounds: int = 1, **options: Any) -> dict[str, Any]:
        """COMAL over an inner algorithm, whose round takes `rounds` proximal steps."""
        inner_spec = {"name": inner} | {k: options.pop(k, v) for k, v in self.regularised.items()}
        steps = options.pop("inner_steps", max(1, self.inner_steps // rounds))
        return {"name": "comal", "inner": inner_spec, "inner_steps": steps, "update": "copy"} | options

    @property
    def core(self) -> list[Entry]:
        """The three that every part compares with; their run is shared by the parts."""
        return [
            Entry("comal", "COMAL", self.recipe.algorithm, run="core"),
            Entry("inpo", "INPO, fixed reference", {"name": "inpo"} | self.regularised, run="core"),
            Entry("self-play", "self-play (MWU)", {"name": "mwu", "eta": self.eta}, run="core"),
        ]

    def with_loss(self, loss: Any, pairing: str | None = None) -> Changes:
        """Another loss on the recipe's samples."""
        return {"training": {"loss": loss, "pairing": pairing}}

    def independent(self, loss: Any) -> Changes:
        """A pair loss on independent pairs of two answers: so many more prompts that as many pairs are judged.

        The answers of an optimiser step stay as many, too, by accumulation.
        """
        sampling, training = self.recipe.sampling, self.recipe.training
        more = pairs_judged(sampling, self_play=True)
        wider = max(1, sampling.samples // 2)
        return {
            "sampling": {"samples": 2, "comparisons": "all", "prompts": sampling.prompts * more},
            "training": {
                "loss": loss,
                "pairing": "random",
                "prompts_per_batch": training.prompts_per_batch * wider,
                "gradient_accumulation": training.gradient_accumulation * max(1, round(more / wider)),
            },
        }

    @property
    def dpo_eta(self) -> float:
        """DPO's step size: as long a step as the others' where preferences are near even, longer where they are clear.

        Scores of near-even preferences are four times their win rates, see `comal.algorithms.iterative_dpo`.
        """
        return self.eta / 4

    def preference_losses(self) -> list[Entry]:
        """Self-play by the losses that people use."""
        dpo = {"name": "iterative_dpo", "eta": self.dpo_eta}
        ipo = {"name": "iterative_ipo", "eta": self.eta}
        selected = {"name": "mwu", "eta": self.dpo_eta}
        best_worst = self.with_loss("dpo", "best-worst")
        return [
            Entry("iterative-dpo", "iterative DPO, independent pairs", dpo, self.independent("dpo")),
            Entry("iterative-dpo-selected", "iterative DPO, best and worst", selected, best_worst),
            Entry("iterative-ipo", "iterative IPO, independent pairs", ipo, self.independent("ipo")),
            Entry("sppo", "SPPO", {"name": "sppo", "eta": self.eta}, self.with_loss("sppo")),
        ]


def quick_recipe(recipe: Recipe) -> Recipe:
    """A recipe for a look at how all this works: a sixth of the steps, on a quarter of the prompts.

    Raises:
        ConfigError: as `Basis.of`.
    """
    basis = Basis.of(recipe)
    shorter = max(1, basis.inner_steps // _SHORTER)
    sampling, evaluation = recipe.sampling, recipe.evaluation
    every = None if evaluation.every is None else max(1, evaluation.every // _SHORTER)
    changes: Changes = {
        "sampling": {"prompts": max(2, sampling.prompts // _FEWER)},
        "training": {"prompts_per_batch": max(1, recipe.training.prompts_per_batch // _FEWER)},
        "evaluation": {
            "every": every,
            "validation_prompts": max(2, evaluation.validation_prompts // _FEWER),
            "test_prompts": max(2, evaluation.test_prompts // _FEWER),
        },
    }
    algorithm = describe(resolve_algorithm(recipe.algorithm, "algorithm")) | {"inner_steps": shorter}
    steps = max(2 * shorter, recipe.steps // _SHORTER)
    return changed(recipe, changes).model_copy(update={"algorithm": algorithm, "steps": steps})


def changed(recipe: Recipe, changes: Changes) -> Recipe:
    """The recipe with other settings, validated anew."""
    sections = {name: getattr(recipe, name).model_copy(update=dict(values)) for name, values in changes.items()}
    return Recipe.model_validate(recipe.model_copy(update=sections).model_dump())
