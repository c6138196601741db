"""MNPO, time-dependent: INPO anchored at several earlier policies (Wu et al. 2025, arXiv 2509.23102).

    pi_{t+1}(y) ∝ pi_ref(y)^{eta tau} · prod_{j<m} pi_{t-j}(y)^{(1 - eta tau) / m} · exp(eta · P(y > pi_t))

For m = 1 it is INPO. It rests where INPO does, at the Nash policy of the tau-regularised game: there all pi_{t-j} are
one policy, and log pi = eta tau log pi_ref + (1 - eta tau) log pi + eta P(. > pi) + constant. To first order in eta it
moves as INPO does with the step size 2 eta / (m + 1) (our derivation: with log pi_{t-j} = log pi_t - j d for a slow
change d a step, the anchor lags by (m - 1) d / 2, so that (m + 1) d / 2 is INPO's change at step size eta).

The equation is read off the loss in the authors' code, as we could not read the paper itself: in log-ratios h of the
chosen to the rejected answer,

    ( h_pi - rho h_ref - (1 - rho) sum_j lambda_j h_{t-j} - 1 / (2 beta) )²

with rho = eta tau, beta = 1 / eta (their eta) and equal lambda_j. Its hard label is right for independent pairs only;
for selected ones, the best and the worst of several, the fixed point is another one. Here the win rate is the target,
and the hard label an option of the loss `pair`. The paper's games against other models are not here.
"""

from __future__ import annotations

from dataclasses import dataclass

from comal.algorithms.base import POLICY, REFERENCE, Copy, Mix, Program, ProxStep, Regularised, against, require_step

CURRENT = "current"


@dataclass(frozen=True, slots=True)
class MNPO(Regularised):
    """INPO whose anchor remembers: the reference stays fixed.

    Attributes:
        eta: step size; the authors' code writes 1/eta.
        tau: weight of KL(pi || pi_ref); eta·tau is the code's `ratio`, 1/3 in its recipes.
        history: policies of the anchor, the present one included; the code's `max_history_t`, 2 in its last recipe.

    Raises:
        ValueError: unless 0 < eta·tau ≤ 1 and history ≥ 1.
    """

    eta: float
    tau: float
    history: int = 2

    def __post_init__(self) -> None:
        require_step(self.eta, self.tau)
        if self.history < 1:
            raise ValueError(f"need history ≥ 1, got {self.history}")

    def program(self) -> Program:
        """One prox step a turn, anchored at as many policies as there have been, `history` at most."""
        pull, places = self.eta * self.tau, [CURRENT]
        while True:
            yield Copy(POLICY, CURRENT)
            each = (1 - pull) / len(places)
            yield ProxStep(Mix({REFERENCE: pull} | dict.fromkeys(places, each)), against(POLICY), self.eta)
            if len(places) < self.history:
                places = [*places, f"earlier_{len(places)}"]
            for newer, older in zip(places[-2::-1], places[:0:-1], strict=True):
                yield Copy(newer, older)
