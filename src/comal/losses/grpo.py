"""GRPO: the clipped objective of PPO on win rates, with a KL penalty to the anchor.

PPO is Schulman et al. 2017 (arXiv 1707.06347, equation 7), GRPO is Shao et al. 2024 (arXiv 2402.03300, equation 3).

    rho_i = pi_theta(y_i) / sampler(y_i)          of whole answers: preferences are between whole answers
    A_i   = ŵ(y_i) − mean_{j≠i} ŵ(y_j)            (/ the standard deviation of the prompt's ŵ, `scale_rewards`)
    loss  = 1/K sum_i  −eta min(rho_i A_i, clip(rho_i, 1 − clip, 1 + clip) A_i) + penalty_i

    reverse   penalty_i = rho_i (log pi_theta(y_i)/anchor(y_i) − b_i),  b_i the mean of log sampler/anchor over the
              others; its mean over the samples is KL(pi_theta || anchor) up to a constant
    k3        penalty_i = anchor/pi_theta − log anchor/pi_theta − 1, as GRPO publishes it, without importance ratios.
              Its gradient on samples of pi_theta is that of KL(anchor || pi_theta), the other direction

Population minimiser: with `reverse` and a clip that does not bind, the exact prox step, since rho_i reweights the
sampler to pi_theta. A clip that binds stops short of it, and the prox step then takes several rounds of fresh samples,
each of which rests at it. `k3` rests where eta pi (w − <pi, w>) = pi − anchor instead, and `scale_rewards` takes the
step eta / std, another one for every prompt. Samples of another policy than the one whose log-probabilities are in the
ratio are wrong.

GRPO's ratios are of single tokens and its loss is averaged over them; both differ from here for answers longer than
one token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from comal.losses.base import Loss, require_group, without_mean_of_others

_SMALLEST_STD = 1e-4  # as TRL adds it


@dataclass(frozen=True, slots=True)
class GRPO(Loss):
    """Clipped importance-weighted win rates, less a KL penalty.

    Attributes:
        clip: how far a ratio may leave 1 before an answer stops counting; PPO's epsilon.
        kl: `reverse`, or `k3` as published.
        scale_rewards: divide by the standard deviation of a prompt's win rates, as published.

    Raises:
        ValueError: a clip that is not positive, another `kl`.
    """

    clip: float = 0.2
    kl: Literal["reverse", "k3"] = "reverse"
    scale_rewards: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.clip) and self.clip > 0):
            raise ValueError(f"clip: need a number > 0, got {self.clip}")
        if self.kl not in ("reverse", "k3"):
            raise ValueError(f"kl: need reverse or k3, got {self.kl}")

    @property
    def needs_normalised_anchor(self) -> bool:
        """k3 contains the ratio of anchor and policy itself, not only its logarithm."""
        return self.kl == "k3"

    def __call__(
        self, logp_BK: Tensor, anchor_logp_BK: Tensor, win_rate_BK: Tensor, eta: float, sampler_logp_BK: Tensor
    ) -> Tensor:
        """The clipped objective of each prompt with its penalty, to be minimised, shape (B,)."""
        require_group(logp_BK, anchor_logp_BK, win_rate_BK, sampler_logp_BK)
        advantage_BK = without_mean_of_others(win_rate_BK)
        if self.scale_rewards:
            advantage_BK = advantage_BK / (win_rate_BK.std(dim=1, keepdim=True) + _SMALLEST_STD)
        ratio_BK = (logp_BK - sampler_logp_BK).exp()
        clipped_BK = ratio_BK.clamp(1 - self.clip, 1 + self.clip)
        surrogate_BK = torch.minimum(ratio_BK * advantage_BK, clipped_BK * advantage_BK)
        log_ratio_BK = logp_BK - anchor_logp_BK
        if self.kl == "k3":
            penalty_BK = torch.expm1(-log_ratio_BK) + log_ratio_BK
        else:
            sampler_ratio_BK = sampler_logp_BK - anchor_logp_BK
            others_BK = sampler_ratio_BK - without_mean_of_others(sampler_ratio_BK)
            # Without a baseline an unnormalised anchor's constant would multiply the noise of the ratios.
            penalty_BK = ratio_BK * (log_ratio_BK - others_BK)
        return (penalty_BK - eta * surrogate_BK).mean(dim=1)
