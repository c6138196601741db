import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comal.errors import GameError
from comal.evaluation.crossplay.crossplay import from_tables
from comal.evaluation.crossplay.empirical_game import empirical_game, nash_averaging
from comal.evaluation.intervals import Bootstrap
from comal.games import PreferenceGame, duality_gap, nash_policy, win_rates


def skew(seed, n):
    A = np.random.default_rng(seed).uniform(-0.5, 0.5, (n, n))
    return 0.5 + (A - A.T) / 2


def play_of(P, prompts=60, noise=0.2, seed=0, draws=60):
    rng = np.random.default_rng(seed)
    n = len(P)
    tables = {
        (i, j): [np.clip(np.array([[P[i][j] + noise * rng.uniform(-1, 1)]]), 0, 1) for _ in range(prompts)]
        for i in range(n)
        for j in range(i + 1, n)
    }
    return from_tables("abcdefgh"[:n], [str(x) for x in range(prompts)], tables, Bootstrap(draws))


def test_nash_averaging_of_a_three_cycle_by_hand() -> None:
    """Payoffs a > b .4, b > c .2, c > a .3: each policy's share is as the edge that it is not part of."""
    game = PreferenceGame([[0.5, 0.9, 0.2], [0.1, 0.5, 0.7], [0.8, 0.3, 0.5]])
    assert nash_averaging(game) == pytest.approx([0.2 / 0.9, 0.3 / 0.9, 0.4 / 0.9], abs=1e-7)
    assert nash_policy(game) == pytest.approx(nash_averaging(game), abs=1e-7)


def test_among_equals_it_is_uniform() -> None:
    assert nash_averaging(PreferenceGame(np.full((4, 4), 0.5))) == pytest.approx([0.25] * 4)


def test_a_winner_takes_all() -> None:
    assert nash_averaging(PreferenceGame([[0.5, 1.0], [0.0, 0.5]])) == pytest.approx([1, 0])


def test_a_copy_shares_with_its_original() -> None:
    """Rock twice, paper, scissors: rocks 1/6 each."""
    rps = np.array([[0.5, 0.0, 1.0], [1.0, 0.5, 0.0], [0.0, 1.0, 0.5]])
    twice = rps[np.ix_([0, 0, 1, 2], [0, 0, 1, 2])]
    assert nash_averaging(PreferenceGame(twice)) == pytest.approx([1 / 6, 1 / 6, 1 / 3, 1 / 3], abs=1e-6)


def test_a_policy_outside_the_support_bounds_the_mixture() -> None:
    """a and b tie; c beats a by .3 and loses to b by .1, so c may not gain: p_a ≤ 1/4, not 1/2."""
    game = PreferenceGame([[0.5, 0.5, 0.2], [0.5, 0.5, 0.6], [0.8, 0.4, 0.5]])
    assert nash_averaging(game) == pytest.approx([0.25, 0.75, 0], abs=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_the_entropy_is_the_largest_of_all_nash_mixtures(seed) -> None:
    """Brute force: random convex combinations of the Nash mixtures at the ends of the polytope."""
    from scipy.optimize import linprog

    rng = np.random.default_rng(seed)
    small = skew(seed, 3)
    P = small[np.ix_([0, 0, 1, 2, 1], [0, 0, 1, 2, 1])]
    game = PreferenceGame(P)
    ends = [
        linprog(rng.normal(size=5), A_ub=game.A, b_ub=np.zeros(5), A_eq=np.ones((1, 5)), b_eq=[1.0]).x
        for _ in range(30)
    ]
    mixtures = np.clip(rng.dirichlet(np.ones(30) * 0.2, 3000) @ np.array(ends), 1e-300, 1)
    entropies = -(mixtures * np.log(mixtures)).sum(axis=1)
    found = np.clip(nash_averaging(game), 1e-300, 1)
    assert duality_gap(game, nash_averaging(game)) < 1e-6
    assert -(found * np.log(found)).sum() >= entropies.max() - 1e-6


@settings(max_examples=40)
@given(st.integers(0, 100_000), st.integers(2, 6), st.data())
def test_entering_a_policy_twice_changes_nobodys_skill(seed, n, data) -> None:
    P = skew(seed, n)
    copy = data.draw(st.integers(0, n - 1))
    index = [*range(n), copy]
    game, larger = PreferenceGame(P), PreferenceGame(P[np.ix_(index, index)])
    p, q = nash_averaging(game), nash_averaging(larger)
    joined = q[:n].copy()
    joined[copy] += q[n]
    assert joined == pytest.approx(p, abs=1e-5)
    assert q[copy] == pytest.approx(q[n], abs=1e-5)
    assert win_rates(larger, q)[:n] == pytest.approx(win_rates(game, p), abs=1e-5)
    assert duality_gap(larger, q) < 1e-6


@settings(max_examples=25)
@given(st.integers(0, 100_000), st.permutations(range(4)))
def test_order_does_not_matter(seed, order) -> None:
    P = skew(seed, 4)
    moved = nash_averaging(PreferenceGame(P[np.ix_(order, order)]))
    assert moved == pytest.approx(nash_averaging(PreferenceGame(P))[list(order)], abs=1e-6)


def test_a_batch_is_refused() -> None:
    with pytest.raises(GameError, match="one game at a time"):
        nash_averaging(PreferenceGame(np.full((2, 2, 2), 0.5)))


def test_uncertainty_is_that_of_games_solved_one_by_one() -> None:
    """Against an independent path: a linear program for every resample."""
    play = play_of([[0.5, 0.7, 0.3], [0.3, 0.5, 0.65], [0.7, 0.35, 0.5]])
    found = empirical_game(play)
    game = play.game()
    mixtures = [nash_policy(PreferenceGame.symmetrised(P)) for P in play.resampled()]
    gaps = [duality_gap(game, p) for p in mixtures]
    assert found.gap.value == pytest.approx(0, abs=1e-9)
    assert found.gap.high == pytest.approx(np.quantile(gaps, 0.95), abs=1e-6)
    assert found.support == pytest.approx(np.mean(np.array(mixtures) > 1e-4, axis=0))
    assert found.mixture_low == pytest.approx(np.quantile(mixtures, 0.025, axis=0), abs=1e-5)
    assert found.condorcet is None
    assert found.cycles == found.certain_cycles == (("a", "b", "c"),)
    assert found.skill == pytest.approx([0.5] * 3, abs=1e-7)


def test_a_condorcet_winner_with_its_confidence() -> None:
    play = play_of([[0.5, 0.8, 0.8], [0.2, 0.5, 0.6], [0.2, 0.4, 0.5]])
    found = empirical_game(play)
    assert found.condorcet == "a"
    assert found.condorcet_share == pytest.approx([1, 0, 0])
    assert found.nash == pytest.approx([1, 0, 0])
    assert (found.cycles, found.certain_cycles) == ((), ())


def test_a_cycle_that_could_be_chance_is_not_certain() -> None:
    play = play_of(0.5 + (np.array([[0, 1, -1], [-1, 0, 1], [1, -1, 0]]) * 0.005), prompts=40)
    assert empirical_game(play).certain_cycles == ()
    loud = empirical_game(play_of(0.5 + (np.array([[0, 1, -1], [-1, 0, 1], [1, -1, 0]]) * 0.2)))
    assert loud.certain_cycles == (("a", "b", "c"),)


def test_the_bound_on_the_gap_shrinks_with_prompts() -> None:
    P = [[0.5, 0.7, 0.3], [0.3, 0.5, 0.65], [0.7, 0.35, 0.5]]
    few, many = (empirical_game(play_of(P, prompts=k, draws=200)).gap.high for k in (20, 500))
    assert many < few / 3, "about 1/sqrt(25) of it"


def test_the_gap_of_the_mixture_in_the_true_game_is_within_the_bound() -> None:
    """200 cross-plays of a known game: in about 95 of 100 the bound holds."""
    P = np.array([[0.5, 0.7, 0.3], [0.3, 0.5, 0.65], [0.7, 0.35, 0.5]])
    true = PreferenceGame(P)
    held = []
    for seed in range(200):
        found = empirical_game(play_of(P, prompts=40, noise=0.3, seed=seed, draws=100))
        held.append(duality_gap(true, found.nash) <= found.gap.high)
    assert np.mean(held) >= 0.88
