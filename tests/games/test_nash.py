import numpy as np
import pytest
from hypothesis import given, settings

from comal.errors import GameError
from comal.games import PreferenceGame, duality_gap, named_game, nash_policy
from comal.games.newton import polish
from random_games import games, random_table


@settings(max_examples=50)
@given(games(max_n=12))
def test_linear_programming_finds_a_nash_policy(game):
    policy = nash_policy(game)
    assert policy.min() >= 0
    assert policy.sum() == pytest.approx(1)
    assert duality_gap(game, policy) <= 1e-9


def test_margins_far_below_the_solvers_tolerance_are_found():
    A = 1e-9 * named_game("paper").A
    np.testing.assert_allclose(nash_policy(PreferenceGame(0.5 + A)), np.array([4, 3, 4]) / 11, atol=1e-5)


def test_a_batch_is_refused():
    with pytest.raises(GameError, match="one game at a time"):
        nash_policy(PreferenceGame(np.stack([random_table(3, 1)] * 2)))


def test_polishing_needs_the_right_support_only():
    """(4, 3, 4)/11 from a policy merely somewhere inside, or with one answer in doubt; nothing for singular games."""
    game = named_game("paper")
    policies = np.array([[0.4, 0.3, 0.3], [0.5, 0.5, 1e-10], [1 / 3, 1 / 3, 1 / 3]])
    A = np.stack([game.A, game.A, np.zeros((3, 3))])
    payoffs = (A @ policies[..., None])[..., 0]
    payoffs[1] = [-0.01, -0.01, -1e-9]  # two answers; the third, with the least probability, is all but an even bet
    found = polish(A, policies, payoffs)
    np.testing.assert_allclose(found[:2], np.tile(np.array([4, 3, 4]) / 11, (2, 1)))
    assert np.isnan(found[2]).all()
    some = polish(A, policies, payoffs, np.array([1]))
    np.testing.assert_allclose(some[1], found[1])
    assert np.isnan(some[[0, 2]]).all()
