"""SPPO: self-play by a square loss (Wu et al. 2024, arXiv 2405.00675).

    pi_{t+1} = argmin_pi  E_{y ~ pi_t} ( log pi(y)/pi_t(y) - eta (P(y > pi_t) - 1/2) )²

Were the 1/2 the log-partition function over eta, the minimiser would be the prox step and SPPO would be MWU. The
published loss fixes it at eta/2, which no normalised policy can satisfy, so its minimiser falls short of the prox step;
for a small eta the two agree to second order. Like MWU, only the average iterate approaches a Nash policy; the last one
spirals away from a mixed one. On language models the step is taken by the loss `sppo`.
"""

from __future__ import annotations

from dataclasses import dataclass

from comal.algorithms.base import (
    POLICY,
    FixedPartitionStep,
    Program,
    SelfPlay,
    against,
    only,
)


@dataclass(frozen=True, slots=True)
class SPPO(SelfPlay):
    """Self-play preference optimisation.

    Attributes:
        eta: step size, the paper's eta (1e3 in its authors' scripts, a step that a language model never completes).

    Raises:
        ValueError: unless eta > 0.
    """

    def program(self) -> Program:
        """One regression a turn, anchored at the policy and sampled from it."""
        while True:
            yield FixedPartitionStep(only(POLICY), against(POLICY), self.eta)
