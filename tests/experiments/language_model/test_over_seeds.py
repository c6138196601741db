from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from comal.evaluation.estimates import SHARE, Estimate
from comal.experiments.language_model.over_seeds import over_seeds


def seed(mean: float, half: float = 0.01) -> Estimate:
    return Estimate(mean, mean - half, mean + half, 100, 0)


def test_the_interval_over_seeds_is_that_of_a_t_test() -> None:
    means = [0.54, 0.57, 0.5]
    found = over_seeds([seed(mean) for mean in means], SHARE)
    interval = stats.ttest_1samp(means, 0.5).confidence_interval(0.95)
    assert found.mean == pytest.approx(np.mean(means))
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert found.half == pytest.approx((interval.high - interval.low) / 2)
    assert [s.mean for s in found.seeds] == means


def test_one_seed_has_the_interval_over_its_prompts() -> None:
    found = over_seeds([seed(0.6, 0.02)], SHARE)
    assert (found.mean, found.low, found.high) == (0.6, 0.58, 0.62)


def test_no_seed() -> None:
    with pytest.raises(ValueError, match="no seed"):
        over_seeds([], SHARE)


def test_few_seeds_that_differ_stay_within_the_figures_bounds() -> None:
    """.5 and 1: mean .75, standard error .25, Student's 12.7 with one degree of freedom."""
    found = over_seeds([seed(0.5), seed(1.0, 0.0)], SHARE)
    assert (found.mean, found.low, found.high) == (0.75, 0, 1)
    assert over_seeds([seed(0.5), seed(1.0)], None).high > 3


def test_seeds_that_agree_are_no_surer_than_their_prompts() -> None:
    found = over_seeds([seed(0.6, 0.02)] * 4, SHARE)
    assert (found.low, found.high) == pytest.approx((0.59, 0.61))
