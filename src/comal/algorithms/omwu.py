"""OMWU: optimistic multiplicative weights (Daskalakis & Panageas 2018, arXiv 1807.04252; Wei et al. 2020, 2006.09517).

    pi_{t+1}(y) ∝ pi_t(y) · exp(eta · (2 P(y > pi_t) - P(y > pi_{t-1}))),      pi_{-1} = pi_0

The last payoff, counted twice, stands in for the next one. For a small enough constant eta the last iterate converges
linearly to the Nash policy of the *original* game when that policy is unique (Wei et al.) or one gives every answer
(Chen et al. 2025, arXiv 2512.24818). The rate depends on the game and can be very slow; we know of none for games with
several Nash policies that all leave an answer out.
"""

from __future__ import annotations

from dataclasses import dataclass

from comal.algorithms.base import (
    POLICY,
    Copy,
    Opponents,
    Program,
    ProxStep,
    SelfPlay,
    only,
)

CURRENT = "current"
PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class OMWU(SelfPlay):
    """Multiplicative weights with a prediction of the next payoff.

    Attributes:
        eta: step size; Wei et al. prove their rate for eta ≤ 1/8 with payoffs in [-1, 1].

    Raises:
        ValueError: unless eta > 0.
    """

    eta: float = 0.125

    def program(self) -> Program:
        """One prox step a turn, with the payoff of the step before remembered as a policy."""
        payoff = Opponents(((2.0, only(CURRENT)), (-1.0, only(PREVIOUS))))
        yield Copy(POLICY, PREVIOUS)
        while True:
            yield Copy(POLICY, CURRENT)
            yield ProxStep(only(CURRENT), payoff, self.eta)
            yield Copy(CURRENT, PREVIOUS)
