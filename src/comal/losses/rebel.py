"""REBEL: regression to relative rewards, here win rates (Gao et al. 2024, arXiv 2404.16767).

    h = log pi_theta(y) − log anchor(y) − (log pi_theta(y') − log anchor(y')),     loss = (h / eta − (ŵ(y) − ŵ(y')))²

Population minimiser: anchor · exp(eta w), the exact prox step, whatever the distribution of the pairs, if the win rates
are independent of how the pair was chosen. Win rates of the samples among which a pair was *selected* are not. It is
the `win_rate` form of pair.py over eta², so that the size of the loss does not shrink with the step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from comal.losses.base import Loss, pair_margin


@dataclass(frozen=True, slots=True)
class REBEL(Loss):
    """Squared regression of a pair's scaled log-ratio difference on the difference of win rates."""

    pairs: ClassVar[bool] = True
    takes_any_payoff: ClassVar[bool] = True

    def __call__(
        self, logp_BK: Tensor, anchor_logp_BK: Tensor, win_rate_BK: Tensor, eta: float, sampler_logp_BK: Tensor
    ) -> Tensor:
        """The squared error of each pair, shape (B,); K = 2."""
        margin_B = pair_margin(logp_BK, anchor_logp_BK, win_rate_BK, sampler_logp_BK)
        return (margin_B / eta - (win_rate_BK[:, 0] - win_rate_BK[:, 1])) ** 2
