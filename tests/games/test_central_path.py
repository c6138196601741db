import numpy as np
import pytest
from hypothesis import given, settings

from comal.algorithms.base import CentralStep
from comal.games import ExactBackend, PreferenceGame, duality_gap, named_game, solve
from comal.games.central_path import CentralPath, CentralPoint, central_start, central_step
from comal.games.payoffs import payoffs_of
from random_games import games, random_policy, random_table


@settings(max_examples=60)
@given(games(max_n=12))
def test_points_stay_strictly_inside_and_bound_the_gap(game):
    """p > 0, s > 0, s + A p = v for every answer, and <p, s> = v ≥ max A p falls from step to step."""
    payoffs = payoffs_of(game)
    point = central_start(payoffs, np.full((1, game.n), 1 / game.n))
    level = np.inf
    while level > max(1e-10 * payoffs.scale[0], 1e-190):  # where all are tied the first point is an end
        point = central_step(payoffs, point)
        assert point.policy.min() > 0
        assert point.slack.min() > 0
        assert point.policy.sum() == pytest.approx(1, abs=1e-12)
        total = point.slack + point.payoff
        np.testing.assert_allclose(total, total.mean(), atol=1e-9)
        before, level = level, float((point.policy * point.slack).sum())
        assert level < before
        assert point.payoff.max() <= level * (1 + 1e-6) + 1e-15


def test_the_path_is_that_of_its_equation():
    """Where p s is the same for every answer, p solves p (v − A p) = v / n, found here by iterating the equation.

    p = v / (n (v − A p)) with v such that p sums to 1 is a contraction while v is large beside the payoffs.
    """
    game = named_game("paper")
    A = game.A
    p, v = np.full(3, 1 / 3), 2.0
    for _ in range(200):
        p = v / (3 * (v - A @ p))
        p = p / p.sum()
    slack = v - A @ p
    np.testing.assert_allclose(p * slack, v / 3, rtol=1e-12)
    # A Newton step from a point on the path, to a smaller mu, keeps p s alike to first order: here to a tenth.
    after = central_step(payoffs_of(game), CentralPoint(p[None], slack[None], (A @ p)[None]))
    products = after.policy * after.slack
    assert products.mean() < 0.1 * v / 3
    assert products.min() / products.max() > 0.1


def test_of_many_nash_policies_it_finds_the_centre():
    """Rock twice: any split of rock's third is Nash; the largest product of probabilities has two sixths."""
    solution = solve(named_game("rock_paper_scissors_copy"), CentralPath(), gap=1e-12)
    assert solution.converged
    np.testing.assert_allclose(solution.policy, [1 / 6, 1 / 6, 1 / 3, 1 / 3], atol=1e-6)


def test_from_anywhere_no_answer_of_any_nash_policy_is_lost():
    game = named_game("rock_paper_scissors_copy")
    solution = solve(game, CentralPath(), gap=1e-12, start=np.array([1.0, 0.0, 0.0, 0.0]))
    assert solution.converged
    assert solution.policy.min() > 0.01
    np.testing.assert_allclose(solution.policy[2:], 1 / 3, atol=1e-9)


def test_it_starts_between_the_policy_and_the_uniform_one():
    game = named_game("paper")
    start = np.array([[1.0, 0.0, 0.0]])
    np.testing.assert_allclose(central_start(payoffs_of(game), start).policy, [[2 / 3, 1 / 6, 1 / 6]])
    solution = solve(game, CentralPath(), start=start[0])
    np.testing.assert_allclose(solution.policy, np.array([4, 3, 4]) / 11, atol=1e-9)


@pytest.mark.parametrize("name", ["rock_paper_scissors_copy", "all_ties:n=4", "condorcet:n=6,margin=1e-6"])
def test_beyond_what_rounding_allows_it_stands_still(name):
    """A gap of exactly 0 may not be had; the search ends, without an error, at a gap of rounding's size."""
    game = named_game(name)
    solution = solve(game, CentralPath(), gap=0.0, max_products=400, start=random_policy(game.n, 1))
    assert duality_gap(game, solution.policy) <= 1e-14


def test_a_solved_policy_is_not_given_up_for_a_point_of_the_path():
    game = named_game("paper")
    backend = ExactBackend(game, np.array([4, 3, 4]) / 11)
    before = backend.gaps()[0]
    for index in range(3):
        backend.execute(index, CentralStep())
        assert backend.gaps()[0] <= before


def test_few_steps_do_whatever_the_size_of_the_game():
    """The work of interior-point methods hardly grows with the number of answers."""
    for n in (2, 10, 100, 300):
        solution = solve(named_game(f"random:n={n},seed=3"), CentralPath())
        assert solution.converged
        assert solution.linear_solves <= 20


def test_large_batches_take_another_way_through_the_same_equations(monkeypatch):
    """Enough games of enough answers are factorised once a step by SciPy, the others by NumPy: same policies."""
    game = PreferenceGame(np.stack([random_table(30, seed) for seed in range(20)]))
    by_numpy = solve(game, gap=1e-12)
    monkeypatch.setattr("comal.games.central_path._WORTH_SCIPY", 0.0)
    by_scipy = solve(game, gap=1e-12)
    assert by_numpy.converged
    assert by_scipy.converged
    np.testing.assert_allclose(by_scipy.policy, by_numpy.policy, atol=1e-9)
