"""Self-consistency: is a rater of the same opinion when asked the same again?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from comal.evaluation.audit.bounded import bounded_estimate, prompt_means
from comal.evaluation.audit.verdicts import Verdicts
from comal.evaluation.estimates import Estimate


@dataclass(frozen=True, slots=True)
class SelfConsistency:
    """Repeated verdicts on the same question in the same presentation order.

    Attributes:
        questions: how many were put more than once.
        agreement: share of pairs of repeats that name the same winner, or both none.
    """

    questions: int
    agreement: Estimate


def self_consistency(verdicts: Verdicts) -> SelfConsistency | None:
    """Measured with prompts as units; None where nothing was asked twice."""
    repeated: dict[tuple[int, int, int, int], list[float]] = {}
    for row in verdicts.rows:
        if np.isfinite(row.probability):
            repeated.setdefault((row.prompt, row.first, row.second, row.rater), []).append(row.probability)
    prompts, agreements = [], []
    for (x, *_), values in repeated.items():
        if len(values) > 1:
            winners = np.sign(np.array(values) - 0.5)
            prompts.append(x)
            agreements.append(float(np.mean([a == b for a, b in combinations(winners.tolist(), 2)])))
    agreement = bounded_estimate(prompt_means(prompts, agreements)) if prompts else None
    return None if agreement is None else SelfConsistency(len(prompts), agreement)
