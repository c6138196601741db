"""Symmetric equilibria of populations that are shown k answers, and the family's algorithms on the way to them."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from comal.algorithms.base import REFERENCE, Copy, ExactOnly, StackelbergStep
from comal.algorithms.comal import COMAL
from comal.algorithms.inpo import INPO
from comal.algorithms.iterative_dpo import IterativeDPO
from comal.algorithms.mwu import MWU
from comal.algorithms.variants.slhf import SLHF
from comal.errors import ConfigError
from comal.games import ExactBackend, duality_gap, kl, solve
from comal.games.populations import (
    PopulationGame,
    best_of_curve,
    draws_win_rate,
    favourites_found,
    majority_policy,
    named_population,
)
from comal.plugins import ALGORITHMS
from random_games import random_policy
from random_populations import populations, random_population

VALUES = {"eta": 0.3, "tau": 0.2, "period": 3, "reverse_tau": 0.2, "forward_tau": 0.1, "follower_tau": 0.3}


def solved(game, **options):
    """The solution, after checking what every solution promises, by the population's own rates."""
    solution = solve(game, **options)
    k = game.answers_shown
    assert solution.converged
    assert solution.policy.min() >= 0
    assert solution.policy.sum(axis=-1) == pytest.approx(1)
    rates = game.win_rates(solution.policy)
    assert rates.max() <= 1 / (k + 1) + 1e-8 + 1e-14
    assert np.min(draws_win_rate(game, solution.policy)) >= k / (k + 1) - 1e-8 - 1e-14
    return solution


@settings(max_examples=100)
@given(populations(max_users=6, max_n=8), st.integers(1, 40))
def test_no_deviation_wins_more_than_its_share(game, k):
    assert solved(game.showing(k)).linear_solves <= 25


@settings(max_examples=30)
@given(populations(max_users=6, max_n=6))
def test_one_answer_shown_is_the_nash_policy_of_the_vote(game):
    solution = solved(game)
    assert duality_gap(game.pairwise(), solution.policy) == pytest.approx(2 * solution.duality_gap, abs=1e-14)


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 5), st.integers(2, 5), st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_nonlinear_programming_finds_the_same_policy(users, n, k, seed):
    """SciPy's SLSQP on: the smallest v with w_k(p) ≤ v. For k ≥ 2 and strict rankings there is one equilibrium."""
    game = random_population(users, n, seed).showing(k)
    found = minimize(
        lambda x: x[-1],
        np.r_[np.full(n, 1 / n), 1.0],
        method="SLSQP",
        bounds=[(0, 1)] * n + [(0, 1)],
        constraints=[
            {"type": "ineq", "fun": lambda x: x[-1] - game.win_rates(np.maximum(x[:n], 0))},
            {"type": "eq", "fun": lambda x: x[:n].sum() - 1},
        ],
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert found.x[-1] == pytest.approx(1 / (k + 1), abs=1e-7)
    np.testing.assert_allclose(solved(game, gap=1e-12).policy, found.x[:n], atol=2e-3)


@pytest.mark.parametrize("k", [2, 3, 9])
def test_two_users_and_two_answers_by_hand(k):
    """A share c prefers a, which has the probability p: F(a) = 1 − p for them and 0 for the others.

    w(a) = [c (1 − (1 − p)^{k+1}) + (1 − c) p^{k+1}] / ((k + 1) p) = 1/(k + 1) is the equation solved here by bisection.
    """
    c = 0.51
    low, high = 1e-9, 1 - 1e-9
    for _ in range(200):
        p = (low + high) / 2
        rate = (c * (1 - (1 - p) ** (k + 1)) + (1 - c) * p ** (k + 1)) / ((k + 1) * p)
        low, high = (p, high) if rate > 1 / (k + 1) else (low, p)
    game = named_population("majority:share=0.51").showing(k)
    np.testing.assert_allclose(solved(game, gap=1e-13).policy, [p, 1 - p], atol=1e-9)


def test_the_nash_policy_of_a_majority_helps_nobody_else():
    game = named_population("majority:share=0.51")
    nash = solved(game, gap=1e-12).policy
    np.testing.assert_allclose(best_of_curve(game, nash, (1, 2, 8)), [0.5, 0.51, 0.51], atol=1e-6)
    several = solved(game.showing(8)).policy
    assert draws_win_rate(game, several, 8) == pytest.approx(8 / 9, abs=1e-7)
    np.testing.assert_allclose(favourites_found(game, nash, 8), [1, 0], atol=1e-6)
    assert favourites_found(game, several, 8).min() > 0.99
    np.testing.assert_array_equal(majority_policy(game), [1, 0])


def test_many_populations_at_once_have_the_equilibria_of_each():
    members = [random_population(4, 5, seed, ties=seed % 3 == 0, noisy=seed % 2 == 0) for seed in range(12)]
    batch = PopulationGame(*(np.stack([getattr(m, name) for m in members])
                             for name in ("utilities", "weights", "temperature")), answers_shown=3)  # fmt: skip
    together = solved(batch, gap=1e-12)
    assert together.gaps.shape == (12,)
    for member, policy in zip(members, together.policy, strict=True):
        alone = solve(member.showing(3), gap=1e-12).policy
        np.testing.assert_allclose(member.win_rates(policy, 3), member.win_rates(alone, 3), atol=1e-7)


def test_with_settings_of_ones_own_comal_gets_there_too():
    game = named_population("rankings:users=7,answers=6,seed=1").showing(4)
    rule = COMAL(inner=INPO(2.5, 0.05), inner_steps=50, update="copy")
    np.testing.assert_allclose(solved(game, algorithm=rule).policy, solve(game, gap=1e-12).policy, atol=1e-4)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_comal_never_moves_away_from_the_equilibrium(k):
    """The certificate's guarantee needs <pi* − p, w(p)> ≥ 0 only, which monotone games have: see population.py."""
    game = named_population("rankings:users=9,answers=5,seed=2").showing(k)
    target = np.log(np.maximum(solve(game, gap=1e-13).policy, 1e-300))
    backend = ExactBackend(game, random_policy(5, 3))
    program = COMAL(inner=INPO((k + 1) / 2, 0.1)).program()
    instruction = next(program)
    before, moved = np.inf, 0
    for index in range(400):
        report = backend.execute(index, instruction)
        if getattr(instruction, "out", None) == REFERENCE:
            after = float(kl(target, backend.log_policy(REFERENCE)[0]))
            assert after <= before + 1e-9
            before, moved = after, moved + 1
        instruction = program.send(report)
    assert moved >= 3


@pytest.mark.parametrize("k", [1, 3])
def test_a_fixed_reference_leads_to_the_regularised_equilibrium(k):
    """INPO's point of rest is p ∝ reference · exp(w_k(p) / tau), for every k."""
    game = named_population("rankings:users=9,answers=5,seed=2").showing(k)
    start, tau = random_policy(5, 3), 0.2
    policy = solve(game, INPO(0.3, tau), gap=0.0, start=start, max_products=3000).policy
    response = start * np.exp(game.win_rates(policy) / tau)
    np.testing.assert_allclose(policy, response / response.sum(), atol=1e-10)


def test_self_play_converges_for_several_answers_and_orbits_for_one():
    game = named_population("rankings:users=25,answers=10,seed=0")
    start = np.arange(10, 0, -1) / 55
    assert solve(game.showing(2), MWU(1.5), start=start, max_products=2000).duality_gap < 1e-6
    assert solve(game.showing(1), MWU(1.0), start=start, max_products=2000).duality_gap > 1e-3


def needs_a_table(name, rule):
    first = next(iter(rule.program()))
    return isinstance(first, ExactOnly | StackelbergStep) or name == "iterative_dpo"


@pytest.mark.parametrize("name", ALGORITHMS.names())
def test_every_algorithm_runs_and_for_one_answer_as_on_the_table(name):
    fields = dataclasses.fields(ALGORITHMS.find(name, "algorithm"))
    needed = {f.name: VALUES[f.name] for f in fields if f.default is dataclasses.MISSING}
    rule = ALGORITHMS.build({"name": name} | needed, "algorithm")
    if needs_a_table(name, rule):
        return
    game, start = random_population(5, 4, seed=7), random_policy(4, 8)
    table, population, shown = (ExactBackend(g, start) for g in (game.pairwise(), game, game.showing(3)))
    programs = [rule.program() for _ in range(3)]
    instructions = [next(program) for program in programs]
    for index in range(12):
        reports = [b.execute(index, i) for b, i in zip((table, population, shown), instructions, strict=True)]
        instructions = [program.send(report) for program, report in zip(programs, reports, strict=True)]
    np.testing.assert_allclose(population.policies(), table.policies(), atol=1e-12)
    assert shown.policies().sum() == pytest.approx(1, abs=1e-12)
    if not isinstance(instructions[0], Copy):
        assert np.abs(shown.policies() - table.policies()).max() > 1e-6


@pytest.mark.parametrize("rule", [COMAL(), COMAL(tau=0.1), IterativeDPO(1.0), SLHF(1.0, 0.1, 0.1)])
def test_what_needs_a_preference_table_says_so(rule):
    game = named_population("rankings:users=3,answers=4").showing(2)
    with pytest.raises(ConfigError, match=r"needs a preference table .* take none, or `comal` with an inner"):
        solve(game, rule, start=random_policy(4, 1))


def test_reports_measure_wins_against_the_previous_draws():
    """A policy that stays where it is wins its even share, 1/(k + 1)."""
    game = named_population("cycle:answers=3").showing(4)
    backend = ExactBackend(game)
    backend.gaps()
    program = MWU(1.0).program()
    assert backend.execute(0, next(program)).win_rate_previous == pytest.approx(1 / 5)
