"""Whether a regularised game is solved, from samples: how far a policy is from its best response.

    KL(p || BR(p)) = KL(p || ref) + log E_{y~ref} exp((P(y > p) - 1/2) / tau),    BR(p) ∝ ref · exp(P(· > p) / tau)

1/2 is what p wins against itself; where users are shown k answers of p it is 1/(k + 1), and P(y > p) is w_k(y).

The first term comes from the policy's samples, the second from the reference's, judged against the policy's. With few
samples two biases oppose each other: the logarithm of a sample mean is low on average, and noise of the win rates under
the exponential is high on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SampledCertificate:
    """Means over prompts, in nats.

    Attributes:
        kl_reference: KL(p || ref).
        kl_best_response: KL(p || BR(p)).
        stderr: of the latter; None for a single prompt.
    """

    kl_reference: float
    kl_best_response: float
    stderr: float | None


def sampled_certificate(
    logp: NDArray[np.float64],
    logp_reference: NDArray[np.float64],
    win_rate: NDArray[np.float64],
    tau: float,
    even: float = 0.5,
) -> SampledCertificate:
    """The certificate of B prompts with K samples of each policy; arrays of shape (B, K).

    Args:
        logp: of the policy's samples under the policy.
        logp_reference: of the same samples under the reference.
        win_rate: of the *reference's* samples against the policy, unbiased.
        tau: weight of the KL term.
        even: win rate of the policy against itself.
    """
    kl_reference = (logp - logp_reference).mean(axis=1)
    payoff = (win_rate - even) / tau
    peak = payoff.max(axis=1, keepdims=True)
    log_mean = peak[:, 0] + np.log(np.exp(payoff - peak).mean(axis=1))
    certificate = kl_reference + log_mean
    stderr = float(certificate.std(ddof=1) / np.sqrt(len(certificate))) if len(certificate) > 1 else None
    return SampledCertificate(float(kl_reference.mean()), float(certificate.mean()), stderr)
