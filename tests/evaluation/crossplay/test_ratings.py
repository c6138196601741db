import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from comal.evaluation.crossplay.crossplay import from_tables
from comal.evaluation.crossplay.ratings import SCALE, bradley_terry, rate
from comal.evaluation.intervals import Bootstrap


def constant_play(P, prompts=12, draws=30):
    n = len(P)
    tables = {(i, j): [np.array([[P[i][j]]])] * prompts for i in range(n) for j in range(i + 1, n)}
    return from_tables("abcdef"[:n], [str(x) for x in range(prompts)], tables, Bootstrap(draws))


def test_two_policies_by_hand() -> None:
    """P = σ(r_a − r_b) exactly: the difference is log(.8/.2)."""
    r = bradley_terry(np.array([[0.5, 0.8], [0.2, 0.5]]))
    assert r == pytest.approx([np.log(4) / 2, -np.log(4) / 2], abs=1e-8)


@settings(max_examples=40)
@given(st.lists(st.floats(-3, 3), min_size=2, max_size=6))
def test_ratings_that_made_the_win_rates_come_back(given_ratings) -> None:
    r = np.array(given_ratings) - np.mean(given_ratings)
    assert bradley_terry(expit(r[:, None] - r)) == pytest.approx(r, abs=1e-5)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_expected_scores_are_the_scores(seed, n) -> None:
    """The maximum-likelihood condition (Ford 1957): each policy's expected wins are its wins."""
    A = np.random.default_rng(seed).uniform(-0.45, 0.45, (n, n))
    P = 0.5 + (A - A.T) / 2
    r = bradley_terry(P)
    assert r.sum() == pytest.approx(0, abs=1e-9)
    assert expit(r[:, None] - r).sum(axis=1) == pytest.approx(P.sum(axis=1), abs=1e-6)


def test_without_a_loss_there_are_no_finite_ratings() -> None:
    assert bradley_terry(np.array([[0.5, 1.0, 1.0], [0.0, 0.5, 0.6], [0.0, 0.4, 0.5]])) is None
    found = rate(constant_play([[0.5, 1.0], [0.0, 0.5]]))
    assert (found.elo, found.error, found.misleading) == (None, None, ())


def test_elo_is_wrong_about_a_cycle_and_says_so() -> None:
    """a > b .9, b > c .9, c > a .6: scores 1.3, 1.0, .7, so c is rated below a, whom it beats."""
    found = rate(constant_play([[0.5, 0.9, 0.4], [0.1, 0.5, 0.9], [0.6, 0.1, 0.5]], prompts=120))
    (wrong,) = found.misleading
    assert (wrong.winner, wrong.loser) == ("c", "a")
    assert wrong.win_rate.value == pytest.approx(0.6)
    assert wrong.predicted < 0.5
    a, b, c = (rating.value for rating in found.elo)
    assert a > b > c
    assert wrong.predicted == pytest.approx(expit((c - a) / SCALE))
    assert found.error > 0.1


def test_a_transitive_cross_play_is_rated_without_error() -> None:
    r = np.array([1.0, 0.2, -1.2])
    found = rate(constant_play(expit(r[:, None] - r)))
    assert [rating.value for rating in found.elo] == pytest.approx(1000 + SCALE * r, abs=1e-3)
    assert all(rating.low <= rating.value <= rating.high > rating.low + 10 for rating in found.elo), (
        "though no prompt differs"
    )
    assert found.error == pytest.approx(0, abs=1e-6)
    assert found.misleading == ()


def test_400_points_are_ten_to_one() -> None:
    found = rate(constant_play([[0.5, 10 / 11], [1 / 11, 0.5]]))
    assert found.elo[0].value - found.elo[1].value == pytest.approx(400, abs=1e-4)
