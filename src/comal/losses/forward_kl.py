"""What a regression fits in the place of log pi under a forward KL; see `comal.algorithms.base.ForwardKLStep`.

    f(log pi(y)) = log pi(y) - x,      x = forward · covered(y) / pi(y)

f rises with log pi, at a slope of 1 + x. Where pi has all but lost an answer of the policy it should cover, x is
astronomic, and so would be the gradient of a squared error; beyond x = 30, f goes on along its tangent instead. That
changes no minimiser with x below 30 everywhere, and by `comal.games.steps.forward_kl` a larger x, for a weight of 2 or
less, is only where the step without the forward KL would put pi e^30 times below the covered policy.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LARGEST = 30.0
"""The x from which on f is straight."""


def with_forward_kl(logp: Tensor, covered_logp: Tensor, forward: float) -> Tensor:
    """The f above of log-probabilities, of their shape, with their gradient.

    Args:
        logp: log pi(y).
        covered_logp: log covered(y).
        forward: weight of the forward KL, above 0.
    """
    log_x = math.log(forward) + covered_logp - logp
    over = (log_x - math.log(LARGEST)).clamp(min=0.0)
    x: Tensor = torch.exp(log_x - over) * (1 + over)
    return logp - x
