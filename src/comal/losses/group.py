"""Group regression: log-ratios regressed onto a proximal step over all pairs of a prompt's samples.

    r_i = log pi_theta(y_i) − log anchor(y_i) − eta · ŵ(y_i)

    loss = Var_i(r_i) = 1/(2K²) · sum_{i,j} (r_i − r_j)²            (+ pin_constant · (mean_i r_i + log Ẑ)²)

The prox step has r(y) = −log Z for every y, where Z = sum_y anchor(y) · exp(eta w(y)). Where the samples can be any
answer, r is constant only there, so the population minimiser is the exact prox step whatever the samples' distribution
is. Every judged pair is used, for K forward passes.

The variance does not see the constant, and on a language model, whose probabilities of *all* other answers are free, a
drift of it is how likelihood leaks away from the samples. The second term pins it at its estimate from the samples,

    log Ẑ = log 1/K sum_i anchor(y_i) / sampler(y_i) · exp(eta ŵ(y_i)),

which by Jensen's inequality is low on average, by about Var/(2K) of its terms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from comal.losses.base import Loss, require_group


@dataclass(frozen=True, slots=True)
class Group(Loss):
    """All-pairs regression as a variance.

    Attributes:
        pin_constant: weight of the term that pins the free constant; 0 leaves it out.

    Raises:
        ValueError: a weight that is negative or not finite.
    """

    pin_constant: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.pin_constant) and self.pin_constant >= 0):
            raise ValueError(f"pin_constant: need a weight ≥ 0, got {self.pin_constant}")

    def __call__(
        self, logp_BK: Tensor, anchor_logp_BK: Tensor, win_rate_BK: Tensor, eta: float, sampler_logp_BK: Tensor
    ) -> Tensor:
        """The variance of each prompt's residuals, shape (B,)."""
        require_group(logp_BK, anchor_logp_BK, win_rate_BK, sampler_logp_BK)
        residual_BK = logp_BK - anchor_logp_BK - eta * win_rate_BK
        loss_B = residual_BK.var(dim=1, unbiased=False)
        if self.pin_constant:
            log_terms_BK = anchor_logp_BK - sampler_logp_BK + eta * win_rate_BK
            log_Z_B = log_terms_BK.logsumexp(dim=1) - math.log(log_terms_BK.shape[1])
            loss_B = loss_B + self.pin_constant * (residual_BK.mean(dim=1) + log_Z_B) ** 2
        return loss_B
