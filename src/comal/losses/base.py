"""What a prox loss is: a pure function of log-probabilities whose population minimiser is a proximal step."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor


class Loss(ABC):
    """A frozen dataclass of settings with a loss. One file each, found by its name.

    Shapes: B prompts, K samples a prompt. All log-probabilities are summed over an answer's tokens.
    """

    __slots__ = ()

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
