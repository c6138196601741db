"""Means over prompts with their uncertainty.

Of values that have bounds (win rates, shares and what is computed from them) few prompts say less than Student's t
would have it: four prompts that were all won have no variance, and t would be certain of a win rate of 1; others
would get an interval that goes beyond 1. So for the interval, not for the mean, four values are invented, two at
either bound, as Agresti and Coull (1998, The American Statistician 52:119-126) do for proportions, and Student's t is
taken of all. They have the largest variance that bounded values can have, and each weighs as much as one prompt, so
the interval is never narrower than what prompts of a kind not yet seen may bring (about 4 / n of the range), and from
hundreds of prompts on it is the usual one. For wins and losses the coverage of a nominal 95% is at least 94.3% for
any win rate and 4 to 200 prompts, exactly; tests/evaluation/test_estimates.py measures it for other values.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]
Bounds = tuple[float, float]

SHARE: Bounds = (0.0, 1.0)
"""Of a win rate, or any other share."""
DIFFERENCE: Bounds = (-1.0, 1.0)
"""Of the difference of two shares."""
INVENTED = 4
"""Values invented for an interval, half of them at either bound."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over prompts and its 95% interval; prompts are the independent units, not answers or verdicts.

    Attributes:
        mean: of the per-prompt values.
        low, high: the interval, within the bounds of the values.
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


def known_mean(values: Floats, default: float = math.nan) -> float:
    """The mean of the values there are; `default` where there is none."""
    kept = values[np.isfinite(values)]
    return float(kept.mean()) if kept.size else default


def estimate(values: ArrayLike, bounds: Bounds | None, level: float = 0.95) -> Estimate:
    """The mean of per-prompt values, NaN where a prompt has none.

    Args:
        values: one a prompt.
        bounds: the least and the largest that a value can be; None where it can be anything.
        level: of the interval.

    Raises:
        ValueError: fewer than two prompts have a value, or one is out of bounds.
    """
    array = np.asarray(values, dtype=np.float64)
    kept = array[np.isfinite(array)]
    if len(kept) < 2:
        raise ValueError(f"an interval needs at least two prompts with a value, got {len(kept)} of {len(array)}")
    mean = float(kept.mean())
    low, high = mean_interval(kept, bounds, level)
    return Estimate(mean, low, high, len(kept), len(array) - len(kept))


def mean_interval(values: Floats, bounds: Bounds | None, level: float = 0.95) -> tuple[float, float]:
    """The interval for the mean of independent values, shape (n,), all finite: at least one, two without bounds.

    Raises:
        ValueError: a value is out of bounds by more than rounding.
    """
    mean = float(values.mean())
    if bounds is None:
        reach = _reach(values, level)
        return mean - reach, mean + reach
    least, most = bounds
    beyond = float(max(least - values.min(), values.max() - most))
    if beyond > _ROUNDING:
        raise ValueError(f"values between {least:g} and {most:g} are needed, one is {beyond:g} beyond")
    return pooled_interval(values, bounds, level)


def pooled_interval(values: Floats, bounds: Bounds, level: float = 0.95) -> tuple[float, float]:
    """As `mean_interval`, of values whose mean has bounds that single ones may be beyond, such as a jackknife's."""
    least, most = bounds
    mean = min(max(float(values.mean()), least), most)
    padded = np.concatenate([values, np.repeat([least, most], INVENTED // 2)])
    centre, reach = float(padded.mean()), _reach(padded, level)
    return max(least, min(mean, centre - reach)), min(most, max(mean, centre + reach))


def says_little(low: float, high: float, bounds: Bounds = SHARE) -> bool:
    """Whether an interval leaves half of all possible values open: too few prompts to say anything."""
    return high - low >= (bounds[1] - bounds[0]) / 2


def _reach(values: Floats, level: float) -> float:
    stderr = float(values.std(ddof=1)) / math.sqrt(len(values))
    return float(stats.t.ppf(0.5 + level / 2, df=len(values) - 1)) * stderr
