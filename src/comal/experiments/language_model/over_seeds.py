"""What several seeds together say: the mean of their figures, with an interval over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from comal.evaluation.estimates import Estimate


@dataclass(frozen=True, slots=True)
class OverSeeds:
    """A figure of several seeds.

    Attributes:
        mean: over seeds.
        low, high: 95% Student-t interval over seeds, n − 1 degrees of freedom; of one seed the interval over its
            prompts, which says nothing about other seeds.
        seeds: each seed's own figure, with its interval over prompts.
    """

    mean: float
    low: float
    high: float
    seeds: tuple[Estimate, ...]

    @property
    def half(self) -> float:
        """Half of the interval."""
        return (self.high - self.low) / 2

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        seeds = [estimate.to_json() for estimate in self.seeds]
        return {"mean": self.mean, "low": self.low, "high": self.high, "seeds": seeds}


def over_seeds(estimates: Sequence[Estimate], level: float = 0.95) -> OverSeeds:
    """The mean of the seeds' estimates.

    Raises:
        ValueError: no seeds.
    """
    if not estimates:
        raise ValueError("there is no seed")
    if len(estimates) == 1:
        (one,) = estimates
        return OverSeeds(one.mean, one.low, one.high, (one,))
    means = np.array([estimate.mean for estimate in estimates])
    reach = float(stats.t.ppf(0.5 + level / 2, df=len(means) - 1) * means.std(ddof=1)) / math.sqrt(len(means))
    mean = float(means.mean())
    return OverSeeds(mean, mean - reach, mean + reach, tuple(estimates))
