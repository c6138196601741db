"""`solve` with no option at all, on every kind of game, compared with linear programming where Nash is unique."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comal.algorithms.comal import COMAL
from comal.algorithms.inpo import INPO
from comal.algorithms.mwu import MWU
from comal.algorithms.sppo import SPPO
from comal.errors import GameError
from comal.games import PreferenceGame, duality_gap, named_game, nash_policy, read_game, solve
from random_games import games, random_policy, random_table

MATRICES = Path(__file__).parents[2].parent / "shared" / "data" / "preference_matrices"


def solved(game, **options):
    """The solution, after checking what every solution promises."""
    solution = solve(game, **options)
    assert solution.converged
    assert solution.policy.min() >= 0
    assert solution.policy.sum(axis=-1) == pytest.approx(1)
    assert np.max(duality_gap(game, solution.policy)) <= 1e-8 * (1 + 1e-6) + 1e-15
    return solution


def test_the_papers_game():
    np.testing.assert_allclose(solved(named_game("paper")).policy, np.array([4, 3, 4]) / 11, atol=1e-12)


@pytest.mark.parametrize("name", ["soccer", "rrps", "wmt16_fin_eng", "pandalm"])
def test_measured_matrices(name):
    path = MATRICES / f"{name}.csv"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    game = read_game(path)
    solution = solved(game)
    lp = nash_policy(game)
    assert duality_gap(game, lp) <= 1e-8
    np.testing.assert_allclose(solution.policy, lp, atol=1e-6)  # all four have one Nash policy
    assert solution.lp_solves == 0


@pytest.mark.parametrize("rule", [None, COMAL()], ids=["default", "comal"])
@pytest.mark.parametrize(
    "name",
    [
        "all_ties:n=1",
        "all_ties:n=6",
        "rock_paper_scissors",
        "rock_paper_scissors_copy",
        "weighted_rock_paper_scissors",
        "bradley_terry:n=30,spread=0.01",
        "bradley_terry:n=30,spread=20",
        *(f"condorcet:n={n},margin={margin}" for n in (2, 3, 10, 50) for margin in (1e-4, 1e-6)),
    ],
)
def test_awkward_games(name, rule):
    game = named_game(name)
    solution = solved(game, algorithm=rule)
    winner = game.condorcet_winner()
    if winner is not None and "1e-06" not in name:
        assert solution.policy[winner] > 0.99


@pytest.mark.parametrize("rule", [None, COMAL()], ids=["default", "comal"])
@pytest.mark.parametrize("n", [1, 2, 3, 6])
@pytest.mark.parametrize("copies", [2, 5])
def test_duplicates_of_every_answer(n, copies, rule):
    table = np.kron(random_table(n, seed=n), np.ones((copies, copies)))
    solved(PreferenceGame(table), algorithm=rule)


@settings(max_examples=150)
@given(games(max_n=14))
def test_random_games_with_and_without_ties(game):
    solution = solved(game)
    assert solution.products < 100
    assert solution.lp_solves == 0


@settings(max_examples=75)
@given(games(max_n=14))
def test_comal_without_settings_solves_them_too(game):
    assert solved(game, algorithm=COMAL()).products < 1500


@settings(max_examples=40)
@given(games(max_n=9), st.integers(0, 2**32 - 1), st.floats(-6, 0))
def test_from_any_start_at_any_size_of_payoffs(game, seed, exponent):
    """Shrinking all margins shrinks the gap with them, so the accuracy asked for shrinks too."""
    scale = 10**exponent
    small = PreferenceGame(0.5 + scale * game.A)
    solution = solve(small, gap=1e-8 * scale, start=random_policy(game.n, seed))
    assert solution.converged


@settings(max_examples=60)
@given(games(max_n=14, ties=False))
def test_it_agrees_with_linear_programming(game):
    np.testing.assert_allclose(solved(game, gap=1e-12).policy, nash_policy(game), atol=1e-6)


def test_a_very_small_gap_is_reached():
    assert solve(named_game("random:n=40,seed=5"), gap=1e-14).converged


def test_a_thousand_answers():
    game = named_game("random:n=1000,seed=1")
    solution = solved(game)
    # Work, not time, which says how busy the machine is; benchmarks/solve_vs_highs.py compares it with HiGHS.
    assert solution.products < 40
    assert solution.linear_solves < 25
    assert solution.lp_solves == 0


def test_a_game_of_hundreds_of_answers_by_comal():
    solution = solved(named_game("random:n=300,seed=1"), algorithm=COMAL())
    assert solution.products < 400
    assert solution.linear_solves < 200
    assert solution.lp_solves == 0


def test_thousands_of_small_games_at_once():
    batch = PreferenceGame(np.stack([random_table(3, seed, ties=seed % 3 == 0) for seed in range(3000)]))
    solution = solved(batch)
    assert solution.products < 150, "a product with all of them counts once"
    assert solution.policy.shape == (3000, 3)
    assert solution.gaps.shape == (3000,)
    for i in (1, 700, 2999):
        lp = nash_policy(PreferenceGame(batch.P[i]))
        assert duality_gap(PreferenceGame(batch.P[i]), solution.policy[i]) <= 1e-8
        if i % 3:
            np.testing.assert_allclose(solution.policy[i], lp, atol=1e-4)


def test_games_of_a_batch_may_start_and_finish_apart():
    tables = np.stack([named_game("all_ties").P, named_game("paper").P])
    starts = np.array([[0.2, 0.3, 0.5], [0.2, 0.5, 0.3]])
    solution = solved(PreferenceGame(tables), start=starts)
    np.testing.assert_allclose(solution.policy[0], starts[0])  # a Nash policy already
    np.testing.assert_allclose(solution.policy[1], np.array([4, 3, 4]) / 11, atol=1e-9)


def test_a_batch_under_a_first_order_algorithm():
    tables = np.stack([named_game("paper").P] * 2)
    starts = np.array([[0.2, 0.5, 0.3], [1 / 3, 1 / 3, 1 / 3]])
    rule = COMAL(inner=INPO(0.15, 0.1), inner_steps=100, update="copy")
    solution = solved(PreferenceGame(tables), algorithm=rule, start=starts)
    np.testing.assert_allclose(solution.policy, np.tile(np.array([4, 3, 4]) / 11, (2, 1)), atol=1e-6)


def test_a_start_at_the_nash_policy_takes_no_step():
    solution = solved(named_game("paper"), start=np.array([4, 3, 4]) / 11)
    assert (solution.steps, solution.products) == (0, 1)


def test_giving_up_is_not_converging():
    solution = solve(named_game("paper"), MWU(0.5), max_products=50)
    assert not solution.converged
    assert solution.products == 50
    assert solution.duality_gap > 0.1


def test_what_was_recorded():
    trajectory = solve(named_game("paper"), INPO(0.15, 0.1), max_products=20, record="policies").trajectory
    assert trajectory.products.tolist() == list(range(1, 21))
    assert trajectory.prox_steps.tolist() == list(range(20))
    game = named_game("paper")
    np.testing.assert_allclose(
        trajectory.gaps, [duality_gap(game, policy) for policy in trajectory.policies], atol=1e-15
    )
    assert solve(game, record="gaps").trajectory.policies is None
    assert solve(game).trajectory is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gap": -1.0}, "gap: need a number ≥ 0"),
        ({"gap": float("nan")}, "gap"),
        ({"max_products": 0}, "max_products: need at least 1"),
        ({"start": np.ones(3)}, "start: need probabilities that sum to 1"),
    ],
)
def test_senseless_requests_are_refused(options, message):
    with pytest.raises(GameError, match=message):
        solve(named_game("paper"), **options)


@pytest.mark.parametrize(
    "rule", [COMAL(tau=1e-300), MWU(eta=1e308), SPPO(eta=1e300)], ids=["no curvature", "overflow", "log of zero"]
)
def test_options_beyond_what_floats_hold_are_an_error_and_no_policy(rule):
    with pytest.raises(GameError, match=r"^paper: .* leaves the numbers that a computer holds \("):
        solve(named_game("paper"), rule)


def test_the_way_of_a_batch_is_not_recorded():
    with pytest.raises(GameError, match="one by one"):
        solve(PreferenceGame(np.stack([random_table(3, 1)] * 2)), record="gaps")
