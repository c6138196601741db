"""Rewards whose group-centred policy gradient is that of the regularised game, for answers of any length.

Let y_1..y_K be independent answers of pi, ŵ_i the mean verdict on y_i against the other K - 1, and
k_i = log pi(y_i)/pi_ref(y_i) of the whole answer. `GRPOTrainer` takes the gradient of

    1/K sum_i  (R_i - mean_j R_j) · log pi_theta(y_i),     the bracket as a number

and R_i = ŵ_i - tau · K/(K - 1) · k_i makes it, on average over the answers, exactly

    grad [ P(pi_theta > pi) - tau KL(pi_theta || pi_ref) ]   at pi_theta = pi

- ŵ_i given y_i has the mean P(y_i > pi), and every ŵ averages to 1/2 over its group, whichever the verdicts are: the
  group's mean is a constant baseline, not one that shares noise with the answer and shrinks its gradient by 1 - 1/K.
- k_i's group mean holds k_i/K, which does shrink its gradient by 1 - 1/K; hence K/(K - 1). The gradient of KL is
  E[k grad log pi], since E[grad log pi] = 0.

So the KL needs no term of the loss (TRL's `beta`). TRL's own is a sum over tokens of k3 = r - log r - 1 with
r = pi_ref/pi of single tokens: plain, its gradient is that of KL(pi_ref || pi); with `use_bias_correction_kl` it is
that of each token's KL(pi || pi_ref) at the sampled prefix, which leaves out that a token also decides which tokens
follow. For answers of one token the latter is the same gradient as here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def online_rewards(win_rate_BK: Array, logp_BK: Array, reference_logp_BK: Array, tau: float) -> Array:
    """Rewards of K answers to each of B prompts, shape (B, K).

    Args:
        win_rate_BK: mean verdicts against the other answers of the group; a row of NaN where some answer has none.
        logp_BK: log-probabilities of whole answers under the policy that gave them, in nats.
        reference_logp_BK: the same under the reference.
        tau: weight of the KL.

    Returns:
        A row of NaN, no reward, for each row of NaN.
    """
    K = win_rate_BK.shape[1]
    rewards: Array = win_rate_BK - tau * K / (K - 1) * (logp_BK - reference_logp_BK)
    return rewards
