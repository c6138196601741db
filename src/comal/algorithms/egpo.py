"""EGPO: extragradient on the KL-regularised game (Zhou, Fazel & Du 2025, arXiv 2503.08942).

    half(y)      ∝ pi_ref(y)^{eta tau} · pi_k(y)^{1 - eta tau} · exp(eta · P(y > pi_k))
    pi_{k+1}(y)  ∝ pi_ref(y)^{eta tau} · pi_k(y)^{1 - eta tau} · exp(eta · P(y > half))

Two INPO steps from the same policy, the second against the first's result. The look-ahead removes the rotation that
limits INPO's step size, so the last iterate converges linearly to the Nash policy of the tau-regularised game for eta
up to a constant that does not shrink with tau; with tau → 0 it approaches that of the original game at a polynomial
rate. The sibling with the reference term taken implicitly is nash_mirror_prox.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from comal.algorithms.base import POLICY, REFERENCE, Mix, Program, ProxStep, Regularised, against, require_step

HALF = "half"


@dataclass(frozen=True, slots=True)
class EGPO(Regularised):
    """Extragradient preference optimisation: the reference stays fixed, two prox steps a turn.

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
        """To "half" against the policy, then from the policy against "half"."""
        anchor = Mix({REFERENCE: self.eta * self.tau, POLICY: 1 - self.eta * self.tau})
        while True:
            yield ProxStep(anchor, against(POLICY), self.eta, out=HALF)
            yield ProxStep(anchor, against(HALF), self.eta)
