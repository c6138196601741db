"""How far a proximal step moved, against what it asked for; on prompts that it was not trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from comal.algorithms.base import REFERENCE, ForwardKLStep, ProxStep
from comal.losses.forward_kl import with_forward_kl
from comal.pipeline.step.targets import Targets

_NOTHING_ASKED = 1e-12  # squared nats


@dataclass(frozen=True, slots=True)
class Movement:
    """What a step did; None where nothing says so.

    Attributes:
        kl_moved: KL(new || old) in nats.
        kl_reference: KL(old || reference) in nats, on all prompts.
        slope: of the log-ratios achieved over those asked for; 1 is a step that was taken whole.
    """

    kl_moved: float | None
    kl_reference: float | None
    slope: float | None


def measure_movement(
    targets: Targets, step: ProxStep, held_out: NDArray[np.int64], new_logp: NDArray[np.float64]
) -> Movement:
    """The movement from the policy of `targets` to the one whose log-probabilities are given.

    Args:
        targets: of the step's samples, K a prompt.
        step: the step.
        held_out: indices of the H prompts kept out of training.
        new_logp: log-probabilities of their samples after training, shape (H, K).
    """
    kl_reference = None
    if REFERENCE in targets.role_logp:
        kl_reference = float((targets.policy_logp - targets.role_logp[REFERENCE]).mean(axis=1).mean())
    if not len(held_out):
        return Movement(None, kl_reference, None)
    moved = new_logp - targets.policy_logp[held_out]
    before, after = targets.policy_logp[held_out], new_logp
    if isinstance(step, ForwardKLStep):  # which is a regression of this in the place of log-probabilities
        covered = torch.from_numpy(targets.role_logp[step.covered][held_out])
        before, after = (
            with_forward_kl(torch.from_numpy(logp), covered, step.forward).numpy() for logp in (before, after)
        )
    asked = targets.anchor_logp(step.anchor)[held_out] - before + step.eta * targets.win_rate[held_out]
    moved_c = (after - before) - (after - before).mean(axis=1, keepdims=True)
    asked_c = asked - asked.mean(axis=1, keepdims=True)
    slope = None
    # Samples that are all as good as each other ask for nothing but rounding errors.
    if (norm := float((asked_c**2).sum())) > _NOTHING_ASKED:
        slope = float((moved_c * asked_c).sum()) / norm
    # KL(new || old) = E_old[r log r - r + 1], r = new/old, is never negative; samples of another sampler are weighted
    # by old/sampler.
    weight = np.exp((targets.policy_logp - targets.sampler_logp)[held_out])
    return Movement(float(np.mean(weight * (np.exp(moved) * moved - np.expm1(moved)))), kl_reference, slope)
