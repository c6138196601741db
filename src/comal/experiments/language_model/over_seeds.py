"""What several seeds together say: the mean of their figures, with an interval over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from comal.evaluation.estimates import Bounds, Estimate


@dataclass(frozen=True, slots=True)
class OverSeeds:
    """A figure of several seeds.

    Attributes:
        mean: over seeds.
        low, high: 95% Student-t interval over seeds, n − 1 degrees of freedom, within the figure's bounds, and never
            narrower than what the prompts of the seeds leave open: seeds that happen to agree have the same figure no
            surer than that. Of one seed the interval over its prompts, which says nothing about other seeds.
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


def over_seeds(estimates: Sequence[Estimate], bounds: Bounds | None, level: float = 0.95) -> OverSeeds:
    """The mean of the seeds' estimates.

    Args:
        estimates: a seed's each.
        bounds: of the figure; None where it can be anything.
        level: of the interval.

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
    below = max(reach, _of_prompts([estimate.mean - estimate.low for estimate in estimates]))
    above = max(reach, _of_prompts([estimate.high - estimate.mean for estimate in estimates]))
    least, most = bounds or (-math.inf, math.inf)
    return OverSeeds(mean, max(least, mean - below), min(most, mean + above), tuple(estimates))


def _of_prompts(reaches: Sequence[float]) -> float:
    """That of the mean of figures that have these."""
    return math.sqrt(sum(reach**2 for reach in reaches)) / len(reaches)
