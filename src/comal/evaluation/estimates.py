"""Means over prompts with their uncertainty."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over prompts and its 95% interval; prompts are the independent units, not answers or verdicts.

    Attributes:
        mean: of the per-prompt values.
        low, high: Student-t interval.
        prompts: how many prompts had a value.
        missing: how many had none (no verdict, or no such adversary).
    """

    mean: float
    low: float
    high: float
    prompts: int
    missing: int

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def estimate(values: ArrayLike, level: float = 0.95) -> Estimate:
    """The mean of per-prompt values, NaN where a prompt has none.

    Raises:
        ValueError: fewer than two prompts have a value.
    """
    array = np.asarray(values, dtype=np.float64)
    kept = array[np.isfinite(array)]
    if len(kept) < 2:
        raise ValueError(f"an interval needs at least two prompts with a value, got {len(kept)} of {len(array)}")
    mean = float(kept.mean())
    stderr = float(kept.std(ddof=1)) / math.sqrt(len(kept))
    reach = float(stats.t.ppf(0.5 + level / 2, df=len(kept) - 1)) * stderr
    return Estimate(mean, mean - reach, mean + reach, len(kept), len(array) - len(kept))
