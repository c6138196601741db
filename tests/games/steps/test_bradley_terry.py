import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from comal.errors import GameError
from comal.games.steps.bradley_terry import bradley_terry_scores
from random_games import random_policy, random_table

quick = settings(max_examples=40)
seeds = st.integers(0, 2**32 - 1)


@quick
@given(seeds, st.integers(1, 8))
def test_true_scores_are_found_whoever_draws_the_pairs(seed, n):
    s = np.random.default_rng(seed).normal(0, 2, n)
    P = expit(s[:, None] - s[None, :])
    for drawer in (1, 2):
        p = random_policy(n, seed % 1000 + drawer)
        found = bradley_terry_scores(P[None], p[None])[0]
        np.testing.assert_allclose(found, s - p @ s, atol=1e-7)


@quick
@given(seeds, st.integers(2, 6))
def test_the_expected_score_of_every_answer_is_what_its_comparisons_say(seed, n):
    """The stationarity condition of the likelihood, answer by answer, also where an answer is all but never drawn."""
    P, p = random_table(n, seed), random_policy(n, seed % 1000)
    p = p * np.where(np.arange(n) == 0, 1e-200, 1.0)
    p /= p.sum()
    s = bradley_terry_scores(P[None], p[None])[0]
    np.testing.assert_allclose(expit(s[:, None] - s[None, :]) @ p, P @ p, atol=1e-9)


def test_games_of_a_batch_do_not_touch_each_other():
    P = np.stack([random_table(4, seed) for seed in range(3)])
    p = np.stack([random_policy(4, seed) for seed in range(3)])
    alone = np.concatenate([bradley_terry_scores(P[i : i + 1], p[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(bradley_terry_scores(P, p), alone, atol=1e-9)


def test_answers_that_always_win_have_no_scores():
    P = np.array([[0.5, 1.0], [0.0, 0.5]])
    with pytest.raises(GameError, match=r"some answers always win; soften the preferences .*iterative_ipo"):
        bradley_terry_scores(P[None], np.full((1, 2), 0.5))


def test_a_cycle_without_noise_has_equal_scores():
    P = np.array([[0.5, 1.0, 0.0], [0.0, 0.5, 1.0], [1.0, 0.0, 0.5]])
    assert np.abs(bradley_terry_scores(P[None], np.full((1, 3), 1 / 3))).max() < 1e-12
