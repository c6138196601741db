"""What DPO and IPO share: they see a pair's label only, and are functions of the margin between its log-ratios.

    h = log pi_theta(y_c) − log anchor(y_c) − (log pi_theta(y_r) − log anchor(y_r))

Length-normalised, every log-ratio is divided by its answer's length |y|, as in TRL.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from comal.losses.base import Loss, pair_margin


@dataclass(frozen=True, slots=True)
class LabelledPair(Loss):
    """A loss of a chosen and a rejected answer.

    Attributes:
        length_normalised: divide the log-probabilities by the answers' lengths.
    """

    pairs: ClassVar[bool] = True

    length_normalised: bool = False

    @property
    def per_token(self) -> bool:
        """As `length_normalised` says."""
        return self.length_normalised

    @property
    def needs_normalised_anchor(self) -> bool:
        """A constant cancels in the difference of two log-ratios, but not once they are divided by lengths."""
        return self.length_normalised

    def __call__(
        self, logp_BK: Tensor, anchor_logp_BK: Tensor, win_rate_BK: Tensor, eta: float, sampler_logp_BK: Tensor
    ) -> Tensor:
        """The loss of each pair, shape (B,); K = 2, the chosen answer first."""
        return self.of_margin(pair_margin(logp_BK, anchor_logp_BK, win_rate_BK, sampler_logp_BK), eta)

    @abstractmethod
    def of_margin(self, h_B: Tensor, eta: float) -> Tensor:
        """The loss at the margins h, shape (B,)."""
