"""SPPO: self-play preference optimisation (Wu et al. 2024, arXiv 2405.00675, equation 4.7, log Z at eta/2).

    loss = 1/K sum_i (log pi_theta(y_i) − log anchor(y_i) − eta (ŵ(y_i) − 1/2))²

Population minimiser: that of `FixedPartitionStep` for samples of the anchor, which no normalised policy brings to
zero. It falls short of the prox step by O(eta²) and, unlike the prox step, it depends on who drew the samples. Each
sample is fitted alone, so its win rate must be unbiased given the answer, and the anchor must be normalised.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from comal.losses.base import Loss, require_group


@dataclass(frozen=True, slots=True)
class SPPO(Loss):
    """Squared regression of each sample's log-ratio, with the log-partition fixed at eta/2."""

    @property
    def needs_normalised_anchor(self) -> bool:
        """The log-partition is fixed, so nothing takes up a constant."""
        return True

    @property
    def needs_unbiased_rates(self) -> bool:
        """Samples are fitted one by one."""
        return True

    @property
    def takes_any_payoff(self) -> bool:
        """The log-partition is that of a game whose value is 1/2."""
        return False

    def __call__(
        self, logp_BK: Tensor, anchor_logp_BK: Tensor, win_rate_BK: Tensor, eta: float, sampler_logp_BK: Tensor
    ) -> Tensor:
        """The mean squared error of each prompt's samples, shape (B,)."""
        require_group(logp_BK, anchor_logp_BK, win_rate_BK, sampler_logp_BK)
        return ((logp_BK - anchor_logp_BK - eta * (win_rate_BK - 0.5)) ** 2).mean(dim=1)
