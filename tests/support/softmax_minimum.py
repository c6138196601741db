"""The policy over a few answers that minimises a loss, by L-BFGS in double precision."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def minimise(loss_of_logp: Callable[[Tensor], Tensor], n: int) -> np.ndarray:
    """Probabilities of the softmax policy over n answers that minimises a loss of its log-probabilities."""
    logits = torch.zeros(n, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [logits], max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = loss_of_logp(logits.log_softmax(0))
        loss.backward()
        return loss

    optimiser.step(closure)
    return logits.log_softmax(0).detach().exp().numpy()
