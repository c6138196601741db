"""Iterative DPO: the loss of Rafailov et al. (2023, arXiv 2305.18290), round after round on the policy's own pairs.

    s_t      = scores of the Bradley-Terry model that best fits P on pairs y, y' ~ pi_t
    pi_{t+1} ∝ pi_t(y) · exp(eta s_t(y))

On Bradley-Terry preferences s_t is the true score, always the same, and the policy converges to the answer of the
highest one, pi_t ∝ pi_0 exp(eta t s), which is then the Nash policy. On other preferences the fit depends on pi_t. A
mixed Nash policy is a fixed point (scores that explain equal chances are equal), but it does not attract: like mwu.py,
to which it is equal up to a factor of about 4 in the step where all P are near 1/2, the last iterate spirals away.
Where one answer always beats another no scores fit best, and the exact step is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from comal.algorithms.base import POLICY, BradleyTerryStep, Program, SelfPlay, against, only


@dataclass(frozen=True, slots=True)
class IterativeDPO(SelfPlay):
    """DPO anchored at the policy of the round before.

    Attributes:
        eta: step size; DPO's beta is 1/eta.

    Raises:
        ValueError: unless eta > 0.
    """

    def program(self) -> Program:
        """One fit of scores and one tilt by them a round."""
        while True:
            yield BradleyTerryStep(only(POLICY), against(POLICY), self.eta)
