"""Nash-MD: mirror descent against the regularised policy (Munos et al. 2023, arXiv 2312.00886).

    mu_k(y)      ∝ pi_ref(y)^{eta tau} · pi_k(y)^{1 - eta tau}
    pi_{k+1}(y)  ∝ mu_k(y) · exp(eta · P(y > mu_k))

INPO with one word changed: the opponent is the mixture, not the policy. The last iterate converges to a neighbourhood
of the Nash policy of the tau-regularised game, KL(pi*_tau || pi_{k+1}) ≤ (1 - eta tau) KL(pi*_tau || pi_k) + 2 eta².
For a constant eta it rests beside it: there mu solves the game regularised by tau / (1 - eta tau) exactly, and pi is
the best response to mu; both tend to pi*_tau as eta → 0.

COMAL over Nash-MD wants eta tau < 1/2 (our derivation). The reference then moves from ref to that pi, and as
log pi - log ref = A mu / tau up to a constant,

    KL(pi* || pi) ≤ KL(pi* || ref) - KL(mu || ref) + KL(mu || pi)

where mu lies, in log-probabilities, the fraction 1 - eta tau of the way from ref to pi: close to the Nash policy the
sum of the last two is negative for eta tau < 1/2, and above it the references move away.

On language models mu is sampled token by token, which is another mixture for answers of more than one token: see
`comal.policies.mixture`.
"""

from __future__ import annotations

from dataclasses import dataclass

from comal.algorithms.base import POLICY, REFERENCE, Mix, Program, ProxStep, Regularised, against, require_step


@dataclass(frozen=True, slots=True)
class NashMD(Regularised):
    """Nash mirror descent: the reference stays fixed.

    Attributes:
        eta: step size.
        tau: weight of KL(pi || pi_ref).

    Raises:
        ValueError: unless 0 < eta·tau ≤ 1.
    """

    eta: float
    tau: float

    def __post_init__(self) -> None:
        require_step(self.eta, self.tau)

    def program(self) -> Program:
        """One prox step a turn; anchor and opponent are the same mixture."""
        mixture = Mix({REFERENCE: self.eta * self.tau, POLICY: 1 - self.eta * self.tau})
        while True:
            yield ProxStep(mixture, against(mixture), self.eta)
