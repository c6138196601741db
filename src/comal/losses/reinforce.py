"""REINFORCE with a leave-one-out baseline (Kool et al. 2019; Ahmadian et al. 2024, arXiv 2402.14740, "RLOO").

    R_i = eta ŵ(y_i) − (log pi_theta(y_i) − log anchor(y_i))        the KL to the anchor is part of the reward
    loss = − 1/K sum_i [R_i − mean_{j≠i} R_j] · log pi_theta(y_i)   the bracket takes no gradient

On samples of pi_theta the gradient is that of KL(pi || anchor) − eta <pi, w>, which the prox step minimises. R is
computed with pi_theta as it is now, not as it sampled, so that the gradient is K / (2 (K − 1)) times that of the group
regression of group.py (the identity of VarGrad, Richter et al. 2020, arXiv 2010.10436): the one point of rest is the
exact prox step for samples of *any* full-support policy, with no importance ratios. The loss's own value means nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from comal.losses.base import Loss, require_group, without_mean_of_others


@dataclass(frozen=True, slots=True)
class REINFORCE(Loss):
    """The score-function surrogate of the proximal objective."""

    def __call__(
        self, logp_BK: Tensor, anchor_logp_BK: Tensor, win_rate_BK: Tensor, eta: float, sampler_logp_BK: Tensor
    ) -> Tensor:
        """The surrogate of each prompt, shape (B,)."""
        require_group(logp_BK, anchor_logp_BK, win_rate_BK, sampler_logp_BK)
        reward_BK = eta * win_rate_BK - (logp_BK.detach() - anchor_logp_BK)
        return -(without_mean_of_others(reward_BK) * logp_BK).mean(dim=1)
