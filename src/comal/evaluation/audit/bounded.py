"""Tests and intervals for means of values in [0, 1] that stay honest when the values hardly vary.

A judge that gives 0.85 on ten prompts running has a sample variance of 0, and Student's t would be certain of anything.
Two observations are invented, whose mean is the null's and whose variance the largest a bounded value with that mean
can have (Agresti and Coull's remedy for proportions, for any bounded values).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from comal.evaluation.estimates import SHARE, Estimate, mean_interval

INVENTED = 2
"""Values invented for a test, as they would be if the null held."""


def mean_exceeds(values: ArrayLike, bound: float) -> float:
    """One-sided p-value of "the mean of independent values in [0, 1] is at most `bound`"; NaN values are left out.

    Exact binomial test for zeros and ones; for wins, ties and losses against 1/2 the exact sign test, where ties say
    nothing; otherwise Student's t with two invented observations. 1 without any value.
    """
    kept = _finite(values)
    if not len(kept):
        return 1.0
    if bound == 0.5 and np.isin(kept, (0.0, 0.5, 1.0)).all():
        kept = kept[kept != 0.5]
        if not len(kept):
            return 1.0
    if np.isin(kept, (0.0, 1.0)).all():
        return float(stats.binom.sf(kept.sum() - 1, len(kept), bound))
    n = len(kept) + INVENTED
    mean = (kept.sum() + INVENTED * bound) / n
    squares = ((kept - mean) ** 2).sum() + INVENTED * (bound * (1 - bound) + (bound - mean) ** 2)
    stderr = math.sqrt(squares / (n - 1) / n)
    return float(stats.t.sf((mean - bound) / stderr, df=n - 1))


def bounded_estimate(values: ArrayLike, level: float = 0.95) -> Estimate | None:
    """The mean of per-prompt values in [0, 1] and its interval within [0, 1]; None without any value.

    See `comal.evaluation.estimates`.
    """
    kept = _finite(values)
    if not len(kept):
        return None
    low, high = mean_interval(kept, SHARE, level)
    return Estimate(float(kept.mean()), low, high, len(kept), int(np.asarray(values).size - len(kept)))


def prompt_means(prompts: ArrayLike, values: ArrayLike) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The mean of each prompt's values: prompts are the independent units, verdicts on one prompt are not."""
    index, number = np.unique(np.asarray(prompts), return_inverse=True)
    totals = np.bincount(number, weights=np.asarray(values, dtype=np.float64), minlength=len(index))
    means: np.ndarray[tuple[int], np.dtype[np.float64]] = totals / np.bincount(number, minlength=len(index))
    return means


def _finite(values: ArrayLike) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    array = np.asarray(values, dtype=np.float64).ravel()
    return array[np.isfinite(array)]
