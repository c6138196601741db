"""Intervals for means of bounded values: their bounds, their width, and that they cover the truth."""

import json
from itertools import product

import numpy as np
import pytest
from scipy import stats

from comal.evaluation.estimates import DIFFERENCE, SHARE, estimate, mean_interval, says_little

PROMPTS = (4, 6, 10, 20, 50)
RATES = (0.02, 0.1, 0.5, 0.9, 0.98)


def verdicts(p):
    """Single verdicts in words."""
    return p, lambda rng, shape: (rng.random(shape) < p).astype(float)


VALUES = {f"verdicts {p}": verdicts(p) for p in RATES} | {
    "won, tied, lost": (0.5, lambda rng, shape: rng.choice([0.0, 0.5, 1.0], p=[0.25, 0.5, 0.25], size=shape)),
    "probabilities of two kinds": (0.5, lambda rng, shape: rng.beta(0.3, 0.3, shape)),
    "probabilities of one kind": (0.8, lambda rng, shape: rng.beta(8, 2, shape)),
    "one in twenty unlike the others": (0.855, lambda rng, shape: np.where(rng.random(shape) < 0.05, 0.0, 0.9)),
    "two kinds, close together": (0.5, lambda rng, shape: np.where(rng.random(shape) < 0.5, 0.4, 0.6)),
    "means of four answers": (
        0.475,
        lambda rng, shape: rng.binomial(4, np.where(rng.random(shape) < 0.5, 0.05, 0.9)) / 4,
    ),
}


def covered(kind, prompts, draws, seed):
    mean, draw = VALUES[kind]
    found = [mean_interval(values, SHARE) for values in draw(np.random.default_rng(seed), (draws, prompts))]
    return np.mean([low <= mean <= high for low, high in found])


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "prompts"), list(product(VALUES, PROMPTS)))
def test_nominal_95_percent_are_at_least_93(kind, prompts):
    assert covered(kind, prompts, 2000, seed=0) >= 0.93


@pytest.mark.parametrize("kind", VALUES)
def test_intervals_cover_the_truth(kind):
    """300 draws of ten prompts: at a coverage of 95% fewer than 90% are once in 10,000."""
    assert covered(kind, 10, 300, seed=1) >= 0.9


@pytest.mark.parametrize("prompts", [*range(4, 51), 100, 200])
def test_coverage_of_wins_and_losses_to_the_last_digit(prompts):
    """No simulation: the binomial weights of all counts, for win rates from .5% to 99.5%."""
    counts = np.arange(prompts + 1)
    ends = [mean_interval(np.repeat([1.0, 0.0], [k, prompts - k]), SHARE) for k in counts]
    low, high = np.array(ends).T
    rates = np.linspace(0.005, 0.995, 199)
    shares = [stats.binom.pmf(counts, prompts, p) @ ((low <= p) & (p <= high)) for p in rates]
    assert min(shares) >= 0.943


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "prompts"), list(product(RATES, PROMPTS)))
def test_differences_are_covered_too(rate, prompts):
    """Of two policies on the same prompts: one wins at the rate, the other half of the time, or the same."""
    rng = np.random.default_rng(2)
    first = rng.random((2000, prompts)) < rate
    second = np.where(rng.random(first.shape) < 0.5, first, rng.random(first.shape) < 0.5)
    truth = rate / 2 - 0.25
    found = [mean_interval(values, DIFFERENCE) for values in first.astype(float) - second]
    assert np.mean([low <= truth <= high for low, high in found]) >= 0.93


@pytest.mark.parametrize("values", [[0.0] * 4, [1.0] * 10, [0.9] * 10, [1, 1, 1, 0], [0.4, 0.6, 0.5, 0.5], [1.0, 1.0]])
def test_intervals_stay_within_bounds_and_are_never_certain(values):
    found = estimate(values, SHARE)
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert found.high - found.low > 0.05
    assert found.mean == np.mean(values)


def test_by_hand():
    """Three of four won, with 0, 0, 1, 1: mean 5/8, variance 8/7 · 5/8 · 3/8, and Student's 2.3646 for 7."""
    found = estimate([1.0, 1.0, 0.0, 1.0, np.nan], SHARE)
    reach = 2.3646 * np.sqrt(8 / 7 * 15 / 64 / 8)
    assert (found.low, found.high) == pytest.approx((0.625 - reach, 1.0), abs=1e-4)
    assert (found.prompts, found.missing) == (4, 1)


def test_hundreds_of_prompts_have_students_interval():
    values = np.random.default_rng(0).random(800)
    bounded, plain = estimate(values, SHARE), estimate(values, None)
    assert bounded.mean == plain.mean
    assert (bounded.low, bounded.high) == pytest.approx((plain.low, plain.high), abs=0.001)


def test_mirrored_values_have_mirrored_intervals():
    values = np.random.default_rng(1).random(9)
    low, high = mean_interval(values, SHARE)
    assert mean_interval(1 - values, SHARE) == pytest.approx((1 - high, 1 - low))
    twice = mean_interval(2 * values - 1, DIFFERENCE)
    assert twice == pytest.approx((2 * low - 1, 2 * high - 1))


def test_values_out_of_bounds_are_refused():
    with pytest.raises(ValueError, match=r"between 0 and 1 are needed, one is 0\.5 beyond"):
        estimate([0.2, 1.5], SHARE)
    assert estimate([0.2, 1 + 1e-12], SHARE).high == 1
    assert estimate([0.2, 1.5], None).high > 1.5


def test_few_prompts_say_little():
    assert says_little(0.445, 1.0)
    assert not says_little(0.5, 0.6)
    assert says_little(-0.5, 0.5, DIFFERENCE)
    assert says_little(*mean_interval(np.array([1.0, 0.0, 1.0, 0.0]), SHARE))


def test_what_is_printed_is_plain_json():
    json.dumps(estimate([0.1, 0.2], SHARE).to_json(), allow_nan=False)
