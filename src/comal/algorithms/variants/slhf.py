"""SLHF: an answer, and then a reply that has seen it (Pásztor, Kleine Buening & Krause 2025, arXiv 2512.16626).

    max_pi min_omega  E_{y ~ pi} [ E_{y' ~ omega(. | y)} P(y > y') + follower_tau KL(omega(. | y) || pi_ref) ]
                      - tau KL(pi || pi_ref)

pi leads, omega follows. A follower that may know the answer need not mix, so neither need the leader: without the KLs
it gives the answer whose strongest rival is weakest, argmax_y min_y' P(y > y'), not a Nash policy. With both KLs the
equilibrium is unique and, given P, known in closed form (the reference must give every answer):

    omega*(y' | y) ∝ pi_ref(y') · exp(P(y' > y) / follower_tau)
    pi*(y)         ∝ pi_ref(y) · exp(v(y) / tau)
    v(y)           = - follower_tau · log E_{y' ~ pi_ref} exp(-P(y > y') / follower_tau)

The authors' StackelbergGDA moves both by policy gradients, omega faster; here the follower is at its best response
throughout, the limit of that, and the leader climbs to pi* by

    pi_{k+1} = argmax_pi  eta (<pi, v> - tau KL(pi || pi_ref)) - KL(pi || pi_k)

As v stays as it is, log pi_k - log pi* shrinks by exactly 1 / (1 + eta tau) a step, up to a constant: there is no limit
on eta. (Objective and solution from accounts of the paper and the authors' code; the step is ours.)

Deviations: the follower's reference is pi_ref without the answer in its context, which is what their code takes unless
told otherwise. On language models only the leader is trained, and v is estimated from the reference's answers, high by
about follower_tau/2 times the relative variance of the mean over them; the trained follower, a second turn of the model
that improves the first, is not here. `comal.games.steps.stackelberg` has the follower of a game.
"""

from __future__ import annotations

from dataclasses import dataclass

from comal.algorithms.base import (
    REFERENCE,
    Algorithm,
    Program,
    StackelbergStep,
    against,
    magnetic,
    require_positive,
)


@dataclass(frozen=True, slots=True)
class SLHF(Algorithm):
    """The leader of a Stackelberg game against a follower at its best response: the reference stays fixed.

    Attributes:
        eta: step size.
        tau: weight of the leader's KL(pi || pi_ref).
        follower_tau: weight of the follower's KL(omega || pi_ref).

    Raises:
        ValueError: unless all are above 0.
    """

    eta: float
    tau: float
    follower_tau: float

    def __post_init__(self) -> None:
        require_positive(eta=self.eta, tau=self.tau, follower_tau=self.follower_tau)

    def program(self) -> Program:
        """One step a turn against replies near the reference."""
        anchor, step = magnetic(self.eta, self.tau)
        while True:
            yield StackelbergStep(anchor, against(REFERENCE), step, follower_tau=self.follower_tau)
