"""Which programs a language model can follow, and which losses can take their steps."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from itertools import islice

from comal.algorithms.base import (
    Algorithm,
    BradleyTerryStep,
    ExactOnly,
    ForwardKLStep,
    Instruction,
    Mix,
    PlayOnline,
    ProxStep,
    StackelbergStep,
)
from comal.errors import ConfigError
from comal.losses.base import Loss
from comal.losses.group import Group
from comal.pipeline.step.program import instructions_of
from comal.pipeline.step.sampler import label
from comal.plugins import describe
from comal.policies.engines.base import Engine
from comal.recipes.settings import Recipe


def refuse_unsampleable(algorithm: Algorithm, place: str, look_ahead: int = 64) -> list[Instruction]:
    """The first instructions of a program, if a language model can follow them.

    Raises:
        ConfigError: an instruction that needs the whole preference matrix, an opponent that cannot be sampled, or
            opponents that cannot be told apart.
    """
    seen: list[Instruction] = []
    for instruction in islice(instructions_of(algorithm), look_ahead):
        if isinstance(instruction, ExactOnly):
            raise ConfigError(
                place,
                f"its program needs the whole preference matrix ({type(instruction).__name__}), which a language model "
                "does not have; choose a sampled inner algorithm, such as `inner: {name: inpo, eta: ..., tau: ...}`",
            )
        if isinstance(instruction, ProxStep):
            for _, mix in instruction.opponent.terms:
                if any(weight < 0 for weight in mix.weights.values()):
                    raise ConfigError(
                        place,
                        f"its opponent extrapolates from {', '.join(mix.weights)} (a negative weight), and what mixing "
                        "logits token by token then samples can be far from it; use weights ≥ 0",
                    )
            _refuse_one_name(instruction, place)
        seen.append(instruction)
    return seen


def _refuse_one_name(step: ProxStep, place: str) -> None:
    """An opponent's answers lie under its roles' names, where another mixture of the same roles would find them."""
    named: dict[str, Mix] = {}
    for _, mix in step.opponent.terms:
        if named.setdefault(label(mix), mix) != mix:
            raise ConfigError(
                place,
                f"two opponents of one step mix {' and '.join(sorted(mix.weights))} by different weights, which a "
                "language model's interpreter does not tell apart; use other roles (`Copy` makes them), or one mixture",
            )


def refuse_unfit(instructions: Sequence[Instruction], loss: Loss, pairing: str | None, place: str) -> None:
    """Refuse a loss that cannot take the steps of a program.

    Raises:
        ConfigError: a step of a kind that another loss takes, or an anchor whose normalising constant the loss needs.
    """
    name = describe(loss)["name"]
    for step in instructions:
        if not isinstance(step, ProxStep):
            continue
        if step.loss is not None and step.loss != name:
            raise ConfigError(
                "training.loss",
                f"the steps of `{place}` ({type(step).__name__}) are what the loss `{step.loss}` is minimised by, and "
                f"`{name}` takes another step; use `loss: {step.loss}`, or another algorithm (`mwu` is the same "
                "self-play with the exact prox step)",
            )
        if isinstance(step, BradleyTerryStep) and pairing != "random":
            raise ConfigError(
                "training.pairing",
                f"the steps of `{place}` fit independent pairs, and {pairing} ones are selected; use `pairing: random`",
            )
        if isinstance(step, ForwardKLStep) and isinstance(loss, Group) and loss.pin_constant:
            raise ConfigError(
                "training.loss.pin_constant",
                f"got {loss.pin_constant:g}, but the constant that it pins is another one under the forward KL of"
                f" `{place}`; leave it at 0",
            )
        if isinstance(step, StackelbergStep) and loss.pairs and pairing == "random":
            raise ConfigError(
                "training.pairing",
                f"`random` draws a label from the samples' comparisons with each other, and `{place}` rates each"
                " against replies; use `group`, or another pairing",
            )
        if loss.needs_normalised_anchor and step.anchor.only_role is None:
            raise ConfigError(
                "training.loss",
                f"`{name}` as set here needs the anchor's probabilities, and the anchor of `{place}` is a mixture of "
                f"{' and '.join(step.anchor.weights)}, known up to a constant; use `group`, or an algorithm whose "
                "anchor is one policy",
            )


def refuse_partly_judged(instructions: Sequence[Instruction], recipe: Recipe, place: str) -> None:
    """Refuse to judge some pairs only, or several answers at once, where every reply counts by its exponential.

    Raises:
        ConfigError: as said.
    """
    if recipe.answers_shown > 1 and any(isinstance(step, StackelbergStep) for step in instructions):
        raise ConfigError(
            "answers_shown", f"`{place}` looks for the best reply to each answer, not to several; leave it out, for 1"
        )
    if recipe.sampling.degree is not None and any(isinstance(step, StackelbergStep) for step in instructions):
        raise ConfigError(
            "sampling.comparisons",
            f"`{place}` looks for the best reply to each answer, and the best of a few is another one; leave it out, so"
            " that all pairs are judged",
        )


def refuse_undrawable(instructions: Sequence[Instruction], engine: Engine, place: str) -> None:
    """Refuse an engine that cannot draw what a program asks for.

    Raises:
        ConfigError: online steps, whose trainer draws for itself; an opponent that is a mixture of policies.
    """
    name = describe(engine)["name"]
    for step in instructions:
        if engine.outside and isinstance(step, PlayOnline):
            raise ConfigError(
                "sampling.engine",
                f"the steps of `{place}` are trained on answers that their trainer draws itself, which `{name}` would"
                " not; use `engine: transformers`, or a proximal algorithm such as `inpo`",
            )
        if engine.mixes or not isinstance(step, ProxStep):
            continue
        for _, mix in step.opponent.terms:
            if mix.only_role is None:
                raise ConfigError(
                    "sampling.engine",
                    f"`{name}` draws from one policy, and `{place}` from a mixture of {' and '.join(mix.weights)}; use"
                    " `engine: transformers`, or an algorithm whose opponents are policies (`inpo`)",
                )


INSTALL = "pip install --constraint constraints.txt '.[trl]'"


def refuse_unplayable(instructions: Sequence[Instruction], recipe: Recipe, place: str) -> None:
    """Refuse a recipe whose online steps could not be taken, or would rest elsewhere.

    Raises:
        ConfigError: TRL is not installed, adapters, a tempered sampler, a half-life, which TRL's gradients have not, or
            prompts that fill no whole micro-batches.
    """
    if not any(isinstance(instruction, PlayOnline) for instruction in instructions):
        return
    if not trl_is_installed():
        raise ConfigError(
            place,
            f"its steps are taken by the GRPOTrainer of TRL, which is not installed; in comal's folder: {INSTALL}",
        )
    sampling = recipe.sampling
    if recipe.policy.lora is not None:
        raise ConfigError(
            "policy.lora",
            f"`{place}` trains whole models online; leave lora out, or take `inpo`, which trains adapters",
        )
    for name, value in (("temperature", sampling.temperature), ("top_p", sampling.top_p)):
        if value != 1.0:
            raise ConfigError(
                f"sampling.{name}",
                f"got {value:g}, but the policy gradients of `{place}` are those of answers that the policy itself "
                f"gives; leave it at 1 (supervised.temperature sharpens the policy itself)",
            )
    if recipe.training.token_half_life is not None:
        raise ConfigError(
            "training.token_half_life",
            f"the gradients of `{place}` are those of TRL, which count all tokens alike; leave it out, or take `inpo`",
        )
    micro = prompts_per_micro_step(recipe)
    if sampling.prompts % micro:
        raise ConfigError(
            "sampling.prompts",
            f"an update of `{place}` takes {sampling.prompts} prompts, no multiple of training.prompts_per_batch = "
            f"{micro}",
        )


def prompts_per_micro_step(recipe: Recipe) -> int:
    """Prompts whose answers are trained on at once; an update accumulates the gradients of as many as it needs."""
    return min(recipe.training.prompts_per_batch, recipe.sampling.prompts)


def trl_is_installed() -> bool:
    """Whether the optional dependency is there, without importing it."""
    return importlib.util.find_spec("trl") is not None
