"""ONPO: optimistic online mirror descent (Zhang et al. 2025, arXiv 2502.16852; Rakhlin & Sridharan 2013, 1311.1869).

    base_{t+1}(y) ∝ base_t(y) · exp(eta · P(y > pi_t))              what has been learnt
    pi_{t+1}(y)   ∝ base_{t+1}(y) · exp(eta · P(y > pi_t))          played: the last payoff once more, as a prediction

Without the base, pi_{t+1} ∝ pi_t · exp(eta (2 P(y > pi_t) − P(y > pi_{t−1}))): omwu.py's map, but that its first step
is twice as long (nothing is predicted before it). What it converges to is the same: the duality gap of the *average*
iterate falls as 1/T, and the last one converges linearly where the Nash policy is unique and eta small enough. On
language models it trains twice a turn where `omwu` trains once, and needs no payoff of negative weight, whose noise
is larger.
"""

from __future__ import annotations

from dataclasses import dataclass

from comal.algorithms.base import POLICY, Copy, Program, ProxStep, SelfPlay, against, only

BASE = "base"


@dataclass(frozen=True, slots=True)
class ONPO(SelfPlay):
    """Optimistic Nash policy optimisation.

    Attributes:
        eta: step size.

    Raises:
        ValueError: unless eta > 0.
    """

    def program(self) -> Program:
        """The base moves by the policy's payoff, then the policy is made from it by the same payoff."""
        yield Copy(POLICY, BASE)
        while True:
            yield ProxStep(only(BASE), against(POLICY), self.eta, out=BASE)
            yield ProxStep(only(BASE), against(POLICY), self.eta)
