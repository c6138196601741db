"""Bradley-Terry fits: the scores that made a table, the likelihood equations, and iterative DPO's limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comal.algorithms.iterative_dpo import IterativeDPO
from comal.games import named_game, solve
from comal.games.steps.bradley_terry import scores_of_wins


@settings(max_examples=25)
@given(st.integers(2, 6), st.integers(0, 10_000))
def test_scores_of_a_bradley_terry_table_are_found_whatever_the_weights(n, seed):
    rng = np.random.default_rng(seed)
    r = rng.normal(size=n)
    weight = rng.uniform(0.01, 1, (n, n))
    P = 1 / (1 + np.exp(r[None] - r[:, None]))
    found = scores_of_wins(((weight + weight.T) * P)[None])[0]
    np.testing.assert_allclose(found, r - r.mean(), atol=1e-7)


@settings(max_examples=25)
@given(st.integers(2, 6), st.integers(0, 10_000))
def test_every_answer_wins_as_often_as_its_scores_say(n, seed):
    """The likelihood equations: observed wins equal expected wins, for each answer."""
    wins = np.random.default_rng(seed).uniform(0.1, 5, (1, n, n))
    s = scores_of_wins(wins)[0]
    games = (wins[0] + wins[0].T) * ~np.eye(n, dtype=bool)
    expected = (games / (1 + np.exp(s[None] - s[:, None]))).sum(axis=1)
    np.testing.assert_allclose(expected, (wins[0] * ~np.eye(n, dtype=bool)).sum(axis=1), rtol=1e-7)


def test_iterative_dpo_climbs_to_the_best_answer_of_a_bradley_terry_game_but_not_to_a_mixed_nash_policy():
    transitive = named_game("bradley_terry:n=5,seed=3")
    assert solve(transitive, IterativeDPO(1.0), 1e-3, 400).converged
    assert solve(named_game("paper"), IterativeDPO(0.3), 0.0, 600).duality_gap > 0.1


def test_one_answer_has_score_zero():
    assert scores_of_wins(np.ones((2, 1, 1))).tolist() == [[0.0], [0.0]]


def test_rare_answers_are_fitted_as_well_as_common_ones():
    r = np.array([0.0, 1.0, -1.0])
    p = np.array([1.0, 1e-9, 1e-12])
    P = 1 / (1 + np.exp(r[None] - r[:, None]))
    found = scores_of_wins((p[:, None] * p[None] * P)[None])[0]
    assert found == pytest.approx(r, abs=1e-4)
