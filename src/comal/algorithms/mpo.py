"""MPO: magnetic mirror descent with a magnet that moves now and then (Wang et al. 2024, arXiv 2410.16714).

    pi_{k+1} = argmax_pi  eta (<pi, P(. > pi_k)> - tau KL(pi || magnet)) - KL(pi || pi_k)
             ∝ [magnet(y)^{eta tau} · pi_k(y) · exp(eta · P(y > pi_k))]^{1 / (1 + eta tau)}

and magnet ← pi every `period` steps. Between two moves this is magnetic mirror descent (Sokota et al. 2022, arXiv
2206.05825), which converges linearly to the Nash policy of the game tau-regularised to the magnet for eta ≤ tau / L², L
the game's Lipschitz constant; moved, the magnets converge to the Nash policy of the original game. It is COMAL with a
fixed number of implicit inner steps: too small a `period` leaves the inner games unsolved and the iterates cycle like
self-play's. The magnet is the role "reference".
"""

from __future__ import annotations

from dataclasses import dataclass

from comal.algorithms.base import (
    POLICY,
    REFERENCE,
    Algorithm,
    Copy,
    Program,
    ProxStep,
    against,
    magnetic,
    require_positive,
)


@dataclass(frozen=True, slots=True)
class MPO(Algorithm):
    """Magnetic preference optimisation.

    Attributes:
        eta: step size.
        tau: weight of KL(pi || magnet).
        period: prox steps between two moves of the magnet.

    Raises:
        ValueError: unless eta > 0, tau > 0 and period ≥ 1.
    """

    eta: float
    tau: float
    period: int

    def __post_init__(self) -> None:
        require_positive(eta=self.eta, tau=self.tau)
        if self.period < 1:
            raise ValueError(f"need period ≥ 1, got {self.period}")

    def program(self) -> Program:
        """`period` prox steps, then the magnet moves."""
        anchor, step = magnetic(self.eta, self.tau)
        while True:
            for _ in range(self.period):
                yield ProxStep(anchor, against(POLICY), step)
            yield Copy(POLICY, REFERENCE)
