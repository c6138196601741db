"""What a prox loss is: a pure function of log-probabilities whose population minimiser is a proximal step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor


class Loss(ABC):
    """A frozen dataclass of settings with a loss. One file each, found by its name.

    Shapes: B prompts, K samples a prompt. All log-probabilities are summed over an answer's tokens.

    Attributes:
        pairs: whether the loss takes one chosen and one rejected answer a prompt (K = 2) instead of all samples.
    """

    __slots__ = ()

    pairs: ClassVar[bool] = False

    @abstractmethod
    def __call__(
        self, logp_BK: Tensor, anchor_logp_BK: Tensor, win_rate_BK: Tensor, eta: float, policy_logp_BK: Tensor
    ) -> Tensor:
        """The loss of each prompt, shape (B,).

        Args:
            logp_BK: log pi_theta(y), with gradient.
            anchor_logp_BK: log anchor(y), up to a constant a prompt.
            win_rate_BK: estimates of w(y) = P(y > opponent).
            eta: the step size of the proximal step.
            policy_logp_BK: log pi_k(y) under the policy that sampled y, as training starts.
        """


def require_group(logp_BK: Tensor, *others_BK: Tensor) -> None:
    """Raise ValueError unless all are of one shape (B, K) with K ≥ 2: broadcasting would hide a mistake in a row."""
    if logp_BK.ndim != 2 or any(other.shape != logp_BK.shape for other in others_BK):
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in (logp_BK, *others_BK))
        raise ValueError(f"need tensors of one shape (B, K), got {shapes}")
    if logp_BK.shape[1] < 2:
        raise ValueError(f"a prox loss compares a prompt's samples and needs two or more, got {logp_BK.shape[1]}")
