"""Nash Prox: what its turns are, which methods it holds between, and that a solved turn comes nearer for any eta."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import root

from comal.algorithms.base import POLICY, REFERENCE, Copy, ProxStep
from comal.algorithms.comal import COMAL
from comal.algorithms.mpo import MPO
from comal.algorithms.nash_mirror_prox import NashMirrorProx
from comal.algorithms.variants.nash_prox import CENTRE, NashProx
from comal.games import ExactBackend, PreferenceGame, duality_gap, kl, named_game, solve
from random_games import games, random_policy, random_table

PAPER, START = named_game("paper"), np.array([0.2, 0.5, 0.3])
NASH = np.array([4, 3, 4]) / 11
seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=25)


def regularised_nash(game, log_reference, tau):
    """The p with p ∝ reference · exp(A p / tau), by SciPy's hybrid Powell method, from strong to weak."""
    x = log_reference
    for temperature in np.geomspace(max(tau, 1.0), tau, 6):
        x = root(
            lambda y, t=temperature: y - log_reference - game.A @ np.exp(y - np.logaddexp.reduce(y)) / t, x, tol=1e-13
        ).x
    return x - np.logaddexp.reduce(x)


def turns(game, rule, start, count):
    """Log-policies after every turn, the start first."""
    backend = ExactBackend(game, start)
    program = rule.program()
    instruction = next(program)
    found = []
    for index in range((rule.updates + 1) * count + 1):
        if isinstance(instruction, Copy):
            assert (instruction.src, instruction.out) == (POLICY, CENTRE)
            found.append(backend.log_policy()[0])
        instruction = program.send(backend.execute(index, instruction))
    return found


@quick
@given(games(max_n=6), seeds, st.floats(0.05, 1.0), st.floats(0.2, 1.9))
def test_a_solved_turn_is_the_proximal_point_and_comes_nearer_as_promised(game, seed, tau, step):
    """The point by SciPy: Nash of the game regularised by tau + 1/eta to the mixture of reference and policy.

    And (1 + eta tau) KL(pi*_tau || new) ≤ KL(pi*_tau || old), here for eta up to 1.9 / (1 - 1.9 tau): far beyond tau.
    """
    whole = max(1 - step * tau, 0.05)
    eta = step / whole if 1 - step * tau > 0.05 else step
    start = random_policy(game.n, seed)
    reference = np.log(start)
    target = regularised_nash(game, reference, tau)
    found = turns(game, NashProx(eta, tau, updates=400), start, 3)
    for old, new in pairwise(found):
        mixture = (eta * tau * reference + old) / (1 + eta * tau)
        np.testing.assert_allclose(new, regularised_nash(game, mixture, tau + 1 / eta), atol=1e-7)
        assert (1 + eta * tau) * kl(target, new) <= kl(target, old) + 1e-9


@quick
@given(games(max_n=6), seeds, st.floats(0.05, 1.0), st.floats(0.2, 1.8))
def test_its_updates_shrink_total_variation_by_half_of_their_step(game, seed, tau, step):
    """Two starts with one centre and reference: each update brings them closer by s / 2, whoever they are."""
    eta = step / max(1 - step * tau, 0.05) if step * tau < 0.95 else step
    s = eta / (1 + eta * tau)
    backends = [ExactBackend(game, random_policy(game.n, seed + i)) for i in (0, 1)]
    for backend in backends:
        for role, offset in ((REFERENCE, 2), (CENTRE, 3)):
            backend.execute(0, Copy(POLICY, role))
            backend._roles[role].log_p = np.log(random_policy(game.n, seed + offset))[None]
    program = NashProx(eta, tau, updates=50).program()
    next(program)
    apart = [np.abs(backends[0].policies() - backends[1].policies()).sum()]
    for _ in range(6):
        instruction = program.send(None)
        for backend in backends:
            backend.execute(0, instruction)
        apart.append(np.abs(backends[0].policies() - backends[1].policies()).sum())
        assert apart[-1] <= s / 2 * apart[-2] + 1e-12


@pytest.mark.parametrize(
    ("updates", "other", "steps_a_turn"), [(1, MPO(0.7, 0.2, period=10**9), 1), (2, NashMirrorProx(0.7, 0.2), 2)]
)
def test_one_update_is_mirror_descent_and_two_are_mirror_prox(updates, other, steps_a_turn):
    game, start = PreferenceGame(random_table(5, 1)), random_policy(5, 2)
    ours = turns(game, NashProx(0.7, 0.2, updates), start, 6)
    backend = ExactBackend(game, start)
    program = other.program()
    instruction = next(program)
    for turn in range(1, 7):
        for _ in range(steps_a_turn):
            instruction = program.send(backend.execute(0, instruction))
        np.testing.assert_allclose(ours[turn], backend.log_policy()[0], atol=1e-13)


@pytest.mark.parametrize("update_eta", [None, 0.4, 0.05])
def test_it_rests_at_the_regularised_nash_policy_whatever_its_updates(update_eta):
    rule = NashProx(1.0, 0.1, updates=7, update_eta=update_eta)
    rest = solve(PAPER, rule, gap=0.0, start=START, max_products=6000).policy
    np.testing.assert_allclose(rest, np.exp(regularised_nash(PAPER, np.log(START), 0.1)), atol=1e-9)
    assert duality_gap(PAPER, rest) > 0.05, "not the Nash policy of the game itself"


def test_a_long_turn_converges_where_a_single_step_goes_round():
    """At eta = 8, tau = .02 one update a turn stays away for good; solved turns (s = 6.9 is too long, so .8) arrive."""
    target = regularised_nash(PAPER, np.log(START), 0.02)

    def left(rule):
        rest = solve(PAPER, rule, gap=0.0, start=START, max_products=8000).policy
        return np.abs(rest - np.exp(target)).sum()

    assert left(NashProx(8.0, 0.02, updates=40, update_eta=0.8)) < 1e-6
    assert left(NashProx(8.0, 0.02, updates=1)) > 0.1


def test_the_policy_itself_is_no_part_of_the_longest_updates_anchor():
    program = NashProx(0.7, 0.2).program()
    next(program)
    step = program.send(None)
    assert isinstance(step, ProxStep)
    assert set(step.anchor.weights) == {REFERENCE, CENTRE}


def test_comal_around_it_reaches_the_nash_policy():
    found = solve(PAPER, COMAL(inner=NashProx(1.0, 0.1)), gap=1e-7, start=START)
    np.testing.assert_allclose(found.policy, NASH, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eta": 1, "tau": 0.5, "update_eta": 0.7}, r"need update_eta ≤ eta / \(1 \+ eta·tau\) = 0.666667, got 0.7"),
        ({"eta": 1, "tau": 0.5, "update_eta": 0}, "need update_eta > 0, got 0"),
        ({"eta": 1, "tau": 0.5, "updates": 0}, "need updates ≥ 1, got 0"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        NashProx(**options)
