"""DRO: direct reward optimisation (Richemond et al. 2024, arXiv 2405.19107), the reward being the win rate.

    loss = 1/K sum_i ½ (eta ŵ(y_i) − V − (log pi_theta(y_i) − log anchor(y_i)))²

Their tau is 1/eta, their r − V − tau log pi/pi_ref is taken times eta. At the joint minimum over pi and V the residual
is 0 everywhere: pi is the exact prox step and V the log-partition, for samples of any full-support policy. The paper
learns V(x) by a network; here every prompt's V is computed from its K samples, so there is no second model:

    fitted      V minimises the prompt's loss, which makes V the mean of eta ŵ − log-ratio and the loss *half* the
                group regression of group.py: exact, with its finite-K properties
    partition   V = log 1/K sum_i anchor(y_i)/sampler(y_i) · exp(eta ŵ(y_i)), the sample estimate of its optimum,
                which also pins the constant that `fitted` leaves free; low by about Var/(2K) of its terms, so the
                step is exact only as K grows
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from comal.losses.base import Loss, require_group


@dataclass(frozen=True, slots=True)
class DRO(Loss):
    """Squared regression of each sample's log-ratio, with an estimate of the value.

    Attributes:
        value: how a prompt's value is estimated, `fitted` or `partition`.

    Raises:
        ValueError: another value.
    """

    value: Literal["fitted", "partition"] = "fitted"

    def __post_init__(self) -> None:
        if self.value not in ("fitted", "partition"):
            raise ValueError(f"value: need fitted or partition, got {self.value}")

    @property
    def needs_unbiased_rates(self) -> bool:
        """With a value from elsewhere samples are fitted one by one."""
        return self.value == "partition"

    def __call__(
        self, logp_BK: Tensor, anchor_logp_BK: Tensor, win_rate_BK: Tensor, eta: float, sampler_logp_BK: Tensor
    ) -> Tensor:
        """Half the mean squared error of each prompt's samples, shape (B,)."""
        require_group(logp_BK, anchor_logp_BK, win_rate_BK, sampler_logp_BK)
        advantage_BK = eta * win_rate_BK - (logp_BK - anchor_logp_BK)
        if self.value == "fitted":
            return advantage_BK.var(dim=1, unbiased=False) / 2
        log_terms_BK = anchor_logp_BK - sampler_logp_BK + eta * win_rate_BK
        value_B = log_terms_BK.logsumexp(dim=1, keepdim=True) - math.log(log_terms_BK.shape[1])
        return ((advantage_BK - value_B) ** 2).mean(dim=1) / 2
