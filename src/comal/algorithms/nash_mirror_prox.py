"""Nash mirror prox (Tiapkin et al. 2025, arXiv 2505.19731v1): extragradient, the reference term implicit.

    half     = argmax_pi  eta (<pi, P(. > pi_k)> - tau KL(pi || pi_ref)) - KL(pi || pi_k)
    pi_{k+1} = argmax_pi  eta (<pi, P(. > half)> - tau KL(pi || pi_ref)) - KL(pi || pi_k)

In closed form each is ∝ [pi_ref(y)^{eta tau} · pi_k(y) · exp(eta · w(y))]^{1 / (1 + eta tau)}, a prox step of size eta
/ (1 + eta tau) whose anchor weights are positive whatever eta: there is no limit eta·tau ≤ 1. The last iterate
converges linearly to the Nash policy of the tau-regularised game, KL = O((1 + 2 tau)^{-N/2} / tau) after N products in
the paper's setting. The paper's eta is eta·tau here. Its second version, under another title, studies a proximal point
method instead: variants/nash_prox.py, of which this is the case of two updates a turn.
"""

from __future__ import annotations

from dataclasses import dataclass

from comal.algorithms.base import POLICY, Program, ProxStep, Regularised, against, magnetic, require_positive

HALF = "half"


@dataclass(frozen=True, slots=True)
class NashMirrorProx(Regularised):
    """Mirror prox on the regularised game: the reference stays fixed, two prox steps a turn.

    Attributes:
        eta: step size.
        tau: weight of KL(pi || pi_ref).

    Raises:
        ValueError: unless eta > 0 and tau > 0.
    """

    eta: float
    tau: float

    def __post_init__(self) -> None:
        require_positive(eta=self.eta, tau=self.tau)

    def program(self) -> Program:
        """To "half" against the policy, then from the policy against "half"."""
        anchor, step = magnetic(self.eta, self.tau)
        while True:
            yield ProxStep(anchor, against(POLICY), step, out=HALF)
            yield ProxStep(anchor, against(HALF), step)
