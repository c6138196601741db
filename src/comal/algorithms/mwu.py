"""MWU: self-play by multiplicative weights (Freund & Schapire 1999); exact iterative IPO is the same map.

    pi_{t+1}(y) ∝ pi_t(y) · exp(eta · P(y > pi_t))

Only the *average* iterate approaches a Nash policy (at rate 1/sqrt(T) for eta ~ 1/sqrt(T)); the last iterate spirals
away from a mixed Nash policy towards the boundary of the simplex.
"""

from __future__ import annotations

from dataclasses import dataclass

from comal.algorithms.base import POLICY, Program, ProxStep, SelfPlay, against, only


@dataclass(frozen=True, slots=True)
class MWU(SelfPlay):
    """Multiplicative weights against oneself.

    Attributes:
        eta: step size.

    Raises:
        ValueError: unless eta > 0.
    """

    def program(self) -> Program:
        """One prox step a turn, anchored at the policy."""
        while True:
            yield ProxStep(only(POLICY), against(POLICY), self.eta)
