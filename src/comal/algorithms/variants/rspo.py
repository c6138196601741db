"""RSPO: self-play regularised by a forward and a reverse KL (Tang et al. 2025, arXiv 2503.00030).

    pi_{k+1} = argmax_pi  eta (<pi, P(. > pi_k)> - reverse_tau KL(pi || pi_ref) - forward_tau KL(pi_ref || pi))
                          - KL(pi || pi_k)

The reverse KL keeps pi from saying what the reference does not, the forward one from leaving out what the reference
says. With the reverse one alone this is magnetic mirror descent. The step of both has no closed form but one unknown
number; see `ForwardKLStep`.

The authors derive their loss from this mirror descent, "generalised magnetic"; the equation is read off their code (of
the paper only parts could be read), which adds a penalty to SPPO's loss on samples of pi_k:

    (log pi/pi_k - eta (P(y > pi_k) - 1/2))²  +  lambda · 2 (log pi/pi_ref)²       reverse: eta reverse_tau = 2 lambda
                                              +  lambda · 2 min(pi_ref/pi, e^R)    forward: eta forward_tau = lambda

lambda their `reg_coef`, one for each; the factors 2 are sums over a pair. Taken at pi = pi_k, where the samples come
from, the gradients of the penalties are those of the two KLs. Deviations: the log-partition is left free, as in the
prox step of every other method here, where SPPO's fixed one falls short of it; the step is the mirror descent's own,
with the divergences at the *new* policy, where the code's samples stay those of the old one; and large pi_ref/pi go on
counting, linearly (`comal.losses.forward_kl`), where the code's cap ends their pull.

Convergence (our derivation; Sokota et al. 2022, arXiv 2206.05825, for the reverse KL). Let pi* be the Nash policy of
the game in which both players pay both divergences. The divergences together are sigma-strongly convex relative to the
entropy, sigma = reverse_tau + forward_tau · min_y pi_ref(y), since the forward one has the second derivatives
pi_ref/pi² ≥ min pi_ref / pi; the smoothness of the game is 1/2, the largest |P - 1/2|. So for eta ≤ 4 sigma

    (1 + eta sigma) KL(pi* || pi_{k+1}) ≤ KL(pi* || pi_k),

which holds for the forward KL alone too, if slowly. pi* is not the Nash policy of the tau-regularised game that COMAL's
certificate is about, so this is no inner solver of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from comal.algorithms.base import (
    POLICY,
    Algorithm,
    ForwardKLStep,
    Program,
    ProxStep,
    against,
    magnetic,
    require_positive,
)


@dataclass(frozen=True, slots=True)
class RSPO(Algorithm):
    """Regularised self-play: the reference stays fixed.

    Attributes:
        eta: step size.
        reverse_tau: weight of KL(pi || pi_ref); 0 leaves it out.
        forward_tau: weight of KL(pi_ref || pi); 0 leaves it out.

    Raises:
        ValueError: unless eta > 0, and the weights are ≥ 0 and not both 0.
    """

    eta: float
    reverse_tau: float
    forward_tau: float

    def __post_init__(self) -> None:
        require_positive(eta=self.eta)
        for name in ("reverse_tau", "forward_tau"):
            value = getattr(self, name)
            if not (isfinite(value) and value >= 0):
                raise ValueError(f"need {name} ≥ 0, got {value}")
        if self.reverse_tau == self.forward_tau == 0:
            raise ValueError("need reverse_tau or forward_tau above 0; without either it is `mwu`")

    def program(self) -> Program:
        """One step a turn, anchored between the policy and the fixed reference."""
        anchor, step = magnetic(self.eta, self.reverse_tau)
        forward = step * self.forward_tau
        while True:
            if forward:
                yield ForwardKLStep(anchor, against(POLICY), step, forward=forward)
            else:
                yield ProxStep(anchor, against(POLICY), step)
