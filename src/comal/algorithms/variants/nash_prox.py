"""Nash Prox: self-play inside a proximal point method (Tiapkin et al. 2025, arXiv 2505.19731, version 2).

    pi_{k+1} = the Nash policy of  P(pi > pi') - tau KL(pi || pi_ref) - 1/eta KL(pi || pi_k)  + the same for pi'

sought, from pi = pi_k, by `updates` steps of self-play in that game, whose regularisation tau + 1/eta is strong:

    pi ← argmax_pi  s (<pi, P(. > pi)> - tau KL(. || pi_ref) - 1/eta KL(. || pi_k)) - (1 - s (tau + 1/eta)) KL(. || pi)
       ∝ pi_ref(y)^{s tau} · pi_k(y)^{s / eta} · pi(y)^{1 - s (tau + 1/eta)} · exp(s · P(y > pi))

What could be read of the paper is its abstract: a self-play policy gradient, the same as online IPO, embedded in a
proximal point framework, and a practical form of that. The equations are what those words leave no choice about; how
its practical form moves pi_k could not be read, and here it moves after a fixed number of updates. Ours as well:

For the longest s, eta / (1 + eta tau), pi itself drops out of its update, and one update a turn is magnetic mirror
descent (mpo.py without its moves), two are Nash mirror prox: the methods are one fixed-point iteration, cut off sooner
or later. It contracts total variation by s / 2 or more, so s < 2 is enough. A turn that is solved satisfies

    (1 + eta tau) KL(pi*_tau || pi_{k+1}) ≤ KL(pi*_tau || pi_k)      for every eta,

where the single steps need a small one: with r = eta tau log pi_ref + log pi_k, pi_{k+1} is stationary, so that
<eta P(. > pi_{k+1}) + r - (1 + eta tau) log pi_{k+1}, pi*_tau - pi_{k+1}> = 0; subtracting what pi*_tau satisfies, and
as <A(p - q), p - q> = 0, leaves the three KLs.
"""

from __future__ import annotations

from dataclasses import dataclass

from comal.algorithms.base import (
    POLICY,
    REFERENCE,
    Copy,
    Mix,
    Program,
    ProxStep,
    Regularised,
    against,
    require_positive,
)

CENTRE = "centre"


@dataclass(frozen=True, slots=True)
class NashProx(Regularised):
    """A proximal point method on the regularised game: the reference stays fixed.

    Attributes:
        eta: step size of a turn.
        tau: weight of KL(pi || pi_ref).
        updates: self-play steps a turn.
        update_eta: their step size; None takes the longest, eta / (1 + eta·tau).

    Raises:
        ValueError: unless eta, tau > 0, updates ≥ 1 and 0 < update_eta ≤ eta / (1 + eta·tau).
    """

    eta: float
    tau: float
    updates: int = 5
    update_eta: float | None = None

    def __post_init__(self) -> None:
        require_positive(eta=self.eta, tau=self.tau)
        if not self.updates >= 1 or self.updates == float("inf"):
            raise ValueError(f"need updates ≥ 1, got {self.updates}")
        if self.update_eta is not None:
            require_positive(update_eta=self.update_eta)
            if self.update_eta > self._longest * (1 + 1e-12):
                raise ValueError(
                    f"need update_eta ≤ eta / (1 + eta·tau) = {self._longest:g}, got {self.update_eta:g}; beyond it a"
                    " step would overshoot the policies that it is anchored at"
                )

    @property
    def _longest(self) -> float:
        return self.eta / (1 + self.eta * self.tau)

    def program(self) -> Program:
        """The policy becomes the centre, then plays against itself near it."""
        step = self._longest if self.update_eta is None else self.update_eta
        # Of s (tau + 1/eta) the two parts; what is left is the policy's own, exactly none for the longest step.
        own = 0.0 if self.update_eta is None else max(0.0, 1 - step / self._longest)
        whole = 1 + self.eta * self.tau
        anchor = Mix({REFERENCE: (1 - own) * self.eta * self.tau / whole, CENTRE: (1 - own) / whole, POLICY: own})
        while True:
            yield Copy(POLICY, CENTRE)
            for _ in range(self.updates):
                yield ProxStep(anchor, against(POLICY), step)
