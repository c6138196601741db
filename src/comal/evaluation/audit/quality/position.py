"""Position bias: does it matter which answer is shown first?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from comal.evaluation.audit.bounded import bounded_estimate, prompt_means
from comal.evaluation.audit.verdicts import Verdicts
from comal.evaluation.estimates import Estimate


@dataclass(frozen=True, slots=True)
class PositionBias:
    """What the presentation order changes, over the pairs judged in both orders.

    Attributes:
        pairs: how many those are.
        flip_rate: share whose two orders name different winners.
        first: mean Pr(the answer shown first wins); 1/2 without bias.
    """

    pairs: int
    flip_rate: Estimate
    first: Estimate


def position_bias(verdicts: Verdicts) -> PositionBias | None:
    """Measured with prompts as units; None where no pair was judged in both orders.

    From one order alone nothing can be told: a preference for the first may be a preference for what stood there.
    """
    found = list(verdicts.both_orders())
    if not found:
        return None
    prompt, forth, back = (np.array(column) for column in zip(*found, strict=True))
    flips = (forth - 0.5) * (back - 0.5) < 0
    first = (forth + 1 - back) / 2
    flip_rate = bounded_estimate(prompt_means(prompt, flips))
    preference = bounded_estimate(prompt_means(prompt, first))
    assert flip_rate is not None
    assert preference is not None
    return PositionBias(len(found), flip_rate, preference)
