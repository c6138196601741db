"""What a proximal step is trained on: win rates and log-probabilities of its samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from comal.algorithms.base import ForwardKLStep, Mix, ProxStep, Role
from comal.judges.asking.tables import Table
from comal.losses.pairing import pick_pairs
from comal.pipeline.step.samples import Samples
from comal.pipeline.training.trainers import Group
from comal.policies.base import derive_seed
from comal.policies.encoder import PromptEncoder
from comal.recipes.settings import Recipe


@dataclass(frozen=True, slots=True)
class Targets:
    """What a proximal step is trained on; arrays of shape (prompts, K).

    Attributes:
        policy_logp: log-probabilities under the policy that training starts from.
        sampler_logp: under the policy that drew the samples, see `sampler_of`, which need not be the same.
        role_logp: under each role that the step is scored by.
        win_rate: w(y) against the step's opponents; NaN where the judge gave no verdict at all.
    """

    policy_logp: NDArray[np.float64]
    sampler_logp: NDArray[np.float64]
    role_logp: dict[Role, NDArray[np.float64]]
    win_rate: NDArray[np.float64]

    def anchor_logp(self, anchor: Mix) -> NDArray[np.float64]:
        """Logarithm of the anchor mixture, up to a constant a prompt."""
        return np.asarray(sum(weight * self.role_logp[role] for role, weight in anchor.weights.items()))

    def covered_logp(self, rule: ProxStep) -> NDArray[np.float64] | None:
        """Log-probabilities under the policy that a forward KL covers; None for a step without one."""
        return self.role_logp[rule.covered] if isinstance(rule, ForwardKLStep) else None


def training_groups(
    samples: Samples,
    targets: Targets,
    rule: ProxStep,
    chosen: NDArray[np.int64],
    tables: Sequence[Table | None],
    encoder: PromptEncoder,
    recipe: Recipe,
    step: int,
) -> list[Group]:
    """The chosen prompts with all of their samples, or with the pair that `training.pairing` picks.

    Args:
        samples: of proximal step `step`.
        targets: of these samples.
        rule: the step.
        chosen: indices of the prompts to train on.
        tables: the samples' verdicts on each other, from which random pairs draw their label; None, or none at all:
            from the win rates.
        encoder: of the prompts.
        recipe: settings.
        step: from 0.
    """
    anchor_logp, covered_logp = targets.anchor_logp(rule.anchor), targets.covered_logp(rule)
    pairing = recipe.training.pairing
    groups = []
    for i in chosen:
        picks = np.arange(targets.win_rate.shape[1])
        if pairing is not None:
            rng = np.random.default_rng(derive_seed(recipe.seed, "pair", step, samples.prompts[i].id))
            values = targets.win_rate[i : i + 1]
            table = tables[i] if tables else None
            if table is not None:
                values = table[None]  # draws the chosen one by the judge's probability: an unbiased hard label
            picks = pick_pairs(pairing, values, rng)[0]
        groups.append(
            Group(
                tuple(encoder(samples.prompts[i])),
                tuple(samples.completions[i][k].token_ids for k in picks),
                targets.policy_logp[i, picks],
                targets.sampler_logp[i, picks],
                anchor_logp[i, picks],
                targets.win_rate[i, picks],
                None if covered_logp is None else covered_logp[i, picks],
            )
        )
    return groups
