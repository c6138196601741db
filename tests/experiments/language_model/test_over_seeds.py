from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from comal.evaluation.estimates import Estimate
from comal.experiments.language_model.over_seeds import over_seeds


def seed(mean: float, half: float = 0.01) -> Estimate:
    return Estimate(mean, mean - half, mean + half, 100, 0)


def test_the_interval_over_seeds_is_that_of_a_t_test() -> None:
    means = [0.54, 0.57, 0.5]
    found = over_seeds([seed(mean) for mean in means])
    interval = stats.ttest_1samp(means, 0.5).confidence_interval(0.95)
    assert found.mean == pytest.approx(np.mean(means))
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert found.half == pytest.approx((interval.high - interval.low) / 2)
    assert [s.mean for s in found.seeds] == means


def test_one_seed_has_the_interval_over_its_prompts() -> None:
    found = over_seeds([seed(0.6, 0.02)])
    assert (found.mean, found.low, found.high) == (0.6, 0.58, 0.62)


def test_no_seed() -> None:
    with pytest.raises(ValueError, match="no seed"):
        over_seeds([])
