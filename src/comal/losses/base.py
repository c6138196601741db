"""What a prox loss is: a pure function of log-probabilities whose population minimiser is a proximal step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor


class Loss(ABC):
    """A frozen dataclass of settings with a loss. One file each, found by its name.

    Shapes: B prompts, K samples a prompt. All log-probabilities are summed over an answer's tokens, unless the loss is
    `per_token`.

    Attributes:
        pairs: whether the loss takes one chosen and one rejected answer a prompt (K = 2) instead of all samples.
    """

    __slots__ = ()

    pairs: ClassVar[bool] = False

    @property
    def per_token(self) -> bool:
        """Whether it is given every log-probability divided by its answer's length in tokens."""
        return False

    @property
    def needs_normalised_anchor(self) -> bool:
        """Whether a constant added to the anchor's log-probabilities changes its minimiser.

        Such a loss is refused for anchors that mix policies, whose normalising constant no language model knows.
        """
        return False

    @property
    def needs_unbiased_rates(self) -> bool:
        """Whether each win rate must be unbiased *given its answer*: under self-play, the mean over the others only.

        The losses that see differences of win rates want the answer's ½ against itself in the mean instead: a
        difference contains the pair's own comparison twice, which makes up for it.
        """
        return False

    @property
    def takes_any_payoff(self) -> bool:
        """Whether all that it sees of the game is the payoff of each answer, up to a constant.

        Then other payoffs can take the win rate's place, such as how often an answer is preferred to several of the
        opponent's. Not so where the label of a pair or the value 1/2 is built in.
        """
        return not self.pairs

    @abstractmethod
    def __call__(
        self, logp_BK: Tensor, anchor_logp_BK: Tensor, win_rate_BK: Tensor, eta: float, sampler_logp_BK: Tensor
    ) -> Tensor:
        """The loss of each prompt, shape (B,).

        Args:
            logp_BK: log pi_theta(y), with gradient.
            anchor_logp_BK: log anchor(y), up to a constant a prompt.
            win_rate_BK: estimates of w(y) = P(y > opponent).
            eta: the step size of the proximal step.
            sampler_logp_BK: log sampler(y): of the policy that drew the samples, which need not be the one in training.
        """


def require_group(logp_BK: Tensor, *others_BK: Tensor) -> None:
    """Raise ValueError unless all are of one shape (B, K) with K ≥ 2: broadcasting would hide a mistake in a row."""
    if logp_BK.ndim != 2 or any(other.shape != logp_BK.shape for other in others_BK):
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in (logp_BK, *others_BK))
        raise ValueError(f"need tensors of one shape (B, K), got {shapes}")
    if logp_BK.shape[1] < 2:
        raise ValueError(f"a prox loss compares a prompt's samples and needs two or more, got {logp_BK.shape[1]}")


def pair_margin(logp_BK: Tensor, anchor_logp_BK: Tensor, *others_BK: Tensor) -> Tensor:
    """Log-ratio of the chosen answer to the anchor less that of the rejected one, shape (B,); K = 2, chosen first.

    Raises:
        ValueError: shapes other than one (B, 2).
    """
    require_group(logp_BK, anchor_logp_BK, *others_BK)
    if logp_BK.shape[1] != 2:
        raise ValueError(f"this loss takes a chosen and a rejected answer, got K = {logp_BK.shape[1]}")
    log_ratio_BK = logp_BK - anchor_logp_BK
    return log_ratio_BK[:, 0] - log_ratio_BK[:, 1]


def without_mean_of_others(values_BK: Tensor) -> Tensor:
    """Each value less the mean of the prompt's other values (a leave-one-out baseline), shape (B, K)."""
    K = values_BK.shape[1]
    return (values_BK - values_BK.mean(dim=1, keepdim=True)) * (K / (K - 1))
