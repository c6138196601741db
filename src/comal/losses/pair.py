"""The published INPO loss on a chosen and a rejected answer (Zhang et al. 2024, arXiv 2407.00617; COMAL, Algorithm 3).

    h = log pi_theta(y_c) − log anchor(y_c) − (log pi_theta(y_r) − log anchor(y_r)),     loss = (h − target)²

    hard        target = eta / 2, which the paper writes 1/(2·eta): its eta is the inverse of ours
    win_rate    target = eta · (ŵ(y_c) − ŵ(y_r))

The hard label is unbiased only for two answers drawn independently from the opponent, with the label drawn by the
judge's probability: ±1/2 is then P − 1/2 on average, and w(y) − 1/2 over the other answer. For pairs *selected* by
win rate (best-worst, best-second) it has another fixed point; the win-rate target keeps the right one, exactly so if
the win rates are independent of the selection. With K = 2, `group` is a quarter of the `win_rate` form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from comal.losses.base import Loss, pair_margin


@dataclass(frozen=True, slots=True)
class Pair(Loss):
    """Squared regression of one pair's log-ratio difference; `comal.losses.pairing` chooses the pairs.

    Attributes:
        target: `hard`, the label alone (published), or `win_rate`, the difference of the judged win rates.

    Raises:
        ValueError: another target.
    """

    pairs: ClassVar[bool] = True

    target: Literal["hard", "win_rate"] = "hard"

    def __post_init__(self) -> None:
        if self.target not in ("hard", "win_rate"):
            raise ValueError(f"target: need hard or win_rate, got {self.target}")

    @property
    def takes_any_payoff(self) -> bool:
        """Not from a label alone."""
        return self.target == "win_rate"

    def __call__(
        self, logp_BK: Tensor, anchor_logp_BK: Tensor, win_rate_BK: Tensor, eta: float, sampler_logp_BK: Tensor
    ) -> Tensor:
        """The squared error of each pair, shape (B,); K = 2, the chosen answer first."""
        margin_B = pair_margin(logp_BK, anchor_logp_BK, win_rate_BK, sampler_logp_BK)
        target = eta / 2 if self.target == "hard" else eta * (win_rate_BK[:, 0] - win_rate_BK[:, 1])
        return (margin_B - target) ** 2
