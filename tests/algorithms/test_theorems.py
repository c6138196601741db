"""The convergence theorems, on random games, against solutions found by other means."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import root

from comal.algorithms.base import POLICY, REFERENCE, Certify, Copy, ProxStep
from comal.algorithms.comal import COMAL
from comal.algorithms.egpo import EGPO
from comal.algorithms.inpo import INPO
from comal.algorithms.iterative_dpo import IterativeDPO
from comal.algorithms.iterative_ipo import IterativeIPO
from comal.algorithms.mpo import MPO
from comal.algorithms.mwu import MWU
from comal.algorithms.nash_md import NashMD
from comal.algorithms.nash_mirror_prox import NashMirrorProx
from comal.algorithms.omwu import OMWU
from comal.algorithms.onpo import ONPO
from comal.algorithms.sppo import SPPO
from comal.games import ExactBackend, PreferenceGame, kl, named_game, nash_policy, solve
from random_games import games, random_policy, random_table

seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=40)
PAPER_START = np.array([0.2, 0.5, 0.3])


def regularised_nash(game, reference, tau):
    """The policy p with p ∝ reference · exp(A p / tau), by SciPy's hybrid Powell method on log p."""
    log_reference = np.log(reference)

    def residual(x, temperature):
        p = np.exp(x - np.logaddexp.reduce(x))
        target = log_reference + game.A @ p / temperature
        return x - target

    def residual_of_policy(x):
        r = residual(x - np.logaddexp.reduce(x), tau)
        return r - r.mean()

    x = log_reference
    for temperature in np.geomspace(max(tau, 1.0), tau, 8):
        outcome = root(residual, x, args=(temperature,), tol=1e-13)
        x = outcome.x
    assert np.abs(residual_of_policy(x)).max() < 1e-9
    return np.exp(x - np.logaddexp.reduce(x))


def run(game, rule, instructions, start, watch=lambda instruction, backend: None):
    backend = ExactBackend(game, start)
    program = rule.program()
    instruction = next(program)
    for index in range(instructions):
        report = backend.execute(index, instruction)
        watch(instruction, backend)
        instruction = program.send(report)
    return backend


@quick
@given(games(max_n=8), seeds, st.floats(0.02, 2.0))
def test_exact_outer_steps_never_move_away_from_any_nash_policy(game, seed, tau):
    nash = nash_policy(game)
    start = random_policy(game.n, seed)
    divergences = [float(kl(np.log(np.maximum(nash, 1e-300)), np.log(start)))]

    def watch(instruction, backend):
        if isinstance(instruction, ProxStep):
            assert instruction.out == REFERENCE
            divergences.append(float(kl(np.log(np.maximum(nash, 1e-300)), backend.log_policy(REFERENCE)[0])))

    run(game, COMAL(tau=tau, sigma=1e-6), 30, start, watch)
    assert len(divergences) > 10
    assert np.diff(divergences).max() <= 1e-9


@quick
@given(games(max_n=6), seeds)
def test_outer_steps_accepted_by_the_certificate_make_the_progress_it_promises(game, seed):
    """KL(pi* || new) ≤ KL(pi* || old) − (1 − sigma) KL(p || old), for a first-order inner solver stopped early."""
    log_nash = np.log(np.maximum(nash_policy(game), 1e-300))
    rule = COMAL(inner=EGPO(eta=0.5, tau=0.3))
    before = {"reference": np.log(random_policy(game.n, seed)), "moves": 0}

    def watch(instruction, backend):
        if isinstance(instruction, ProxStep) and instruction.out == REFERENCE:
            old, new = before["reference"], backend.log_policy(REFERENCE)[0]
            promised = (1 - rule.sigma) * kl(backend.log_policy(POLICY)[0], old)
            assert kl(log_nash, new) <= kl(log_nash, old) - promised + 1e-9
            before.update(reference=new, moves=before["moves"] + 1)

    run(game, rule, 400, np.exp(before["reference"]), watch)
    assert before["moves"] > 0


@quick
@given(games(max_n=6), seeds, st.floats(0.1, 1.0))
def test_inpo_converges_linearly_to_the_regularised_nash_policy(game, seed, tau):
    """KL(pi*_tau || pi_k) ≤ (1 − eta tau / 2)^k KL(pi*_tau || pi_ref), here with eta = tau / 2."""
    eta = tau / 2
    start = random_policy(game.n, seed)
    log_target = np.log(regularised_nash(game, start, tau))
    first = float(kl(log_target, np.log(start)))
    bound = [first]

    def watch(instruction, backend):
        bound.append(bound[-1] * (1 - eta * tau / 2))
        assert kl(log_target, backend.log_policy()[0]) <= bound[-1] + 1e-13

    run(game, INPO(eta, tau), 200, start, watch)


@quick
@given(games(max_n=6), seeds, st.floats(0.1, 1.0))
@pytest.mark.parametrize("make", [INPO, EGPO, NashMirrorProx])
def test_the_regularised_nash_policy_is_a_fixed_point(make, game, seed, tau):
    reference = random_policy(game.n, seed)
    target = regularised_nash(game, reference, tau)
    backend = ExactBackend(game, reference)
    backend._roles[POLICY].log_p = np.log(target)[None]
    program = make(0.4, tau).program()
    instruction = next(program)
    for index in range(6):
        instruction = program.send(backend.execute(index, instruction))
    np.testing.assert_allclose(backend.policies()[0], target, atol=1e-9)


@quick
@given(games(max_n=6), seeds, st.floats(0.1, 1.0))
def test_nash_md_rests_at_the_best_response_to_a_slightly_stronger_regularised_nash_policy(game, seed, tau):
    """With mu the Nash policy for tau' = tau / (1 − eta tau), pi ∝ ref · exp(A mu / tau) is fixed.

    log mu − log ref = A mu / tau' = (1 − eta tau)(log pi − log ref), which says that mu is the mixture of pi and ref.
    """
    eta = 0.4
    reference = random_policy(game.n, seed)
    mu = regularised_nash(game, reference, tau / (1 - eta * tau))
    pi = reference * np.exp(game.A @ mu / tau)
    pi /= pi.sum()
    backend = ExactBackend(game, reference)
    backend._roles[POLICY].log_p = np.log(pi)[None]
    program = NashMD(eta, tau).program()
    instruction = next(program)
    for index in range(5):
        instruction = program.send(backend.execute(index, instruction))
    np.testing.assert_allclose(backend.policies()[0], pi, atol=1e-9)


@quick
@given(games(max_n=6), seeds, st.floats(0.1, 1.0), st.floats(0.05, 0.9))
def test_a_reference_moved_by_nash_md_comes_nearer_by_what_its_mixture_says(game, seed, tau, eta_tau):
    """KL(pi* || pi) ≤ KL(pi* || ref) − KL(mu || ref) + KL(mu || pi), with equality where pi* has full support."""
    nash = nash_policy(game)
    log_nash = np.log(np.maximum(nash, 1e-300))
    reference = random_policy(game.n, seed)
    mu = regularised_nash(game, reference, tau / (1 - eta_tau))
    pi = reference * np.exp(game.A @ mu / tau)
    ref, mu, pi = np.log(reference), np.log(mu), np.log(pi / pi.sum())
    moved, promised = kl(log_nash, pi) - kl(log_nash, ref), kl(mu, pi) - kl(mu, ref)
    assert moved <= promised + 1e-9
    if nash.min() > 1e-6:
        assert moved == pytest.approx(promised, abs=1e-6)


@pytest.mark.parametrize(("eta_tau", "arrives"), [(0.3, True), (0.4, True), (0.6, False), (0.75, False)])
def test_comal_over_nash_md_arrives_only_below_one_half(eta_tau, arrives):
    rule = COMAL(inner=NashMD(eta_tau / 0.15, 0.15), inner_steps=300, update="copy")
    found = solve(named_game("paper"), rule, 1e-3, 30_000, PAPER_START)  # .4 arrives after 25,207
    assert found.converged == arrives
    assert arrives or found.duality_gap > 0.1


def test_nash_md_comes_within_order_eta_of_the_regularised_nash_policy():
    game = named_game("paper")
    target = regularised_nash(game, PAPER_START, 0.1)
    off = [
        # 30 / (eta tau) steps are within 1e-13 of the limit.
        np.abs(run(game, NashMD(eta, 0.1), round(30 / (eta * 0.1)), PAPER_START).policies()[0] - target).sum()
        for eta in (0.2, 0.1, 0.05)
    ]
    assert off[0] / off[1] == pytest.approx(2, rel=0.1)
    assert off[1] / off[2] == pytest.approx(2, rel=0.1)


@quick
@given(games(max_n=6), seeds, st.floats(0.05, 1.0))
def test_newton_finds_the_regularised_nash_policy(game, seed, tau):
    reference = random_policy(game.n, seed)
    target = regularised_nash(game, reference, tau)
    backend = run(game, COMAL(tau=tau, sigma=1e-14), 1, reference)
    np.testing.assert_allclose(backend.policies()[0], target, atol=1e-6)


@pytest.mark.parametrize("rule", [INPO(0.15, 0.1), EGPO(0.5, 0.1), NashMirrorProx(0.5, 0.1)])
def test_a_fixed_reference_stays_away_from_the_nash_policy(rule):
    """pi*_tau of the paper's game and start: its gap is computed here from the regularised equations alone."""
    game = named_game("paper")
    target = regularised_nash(game, PAPER_START, 0.1)
    expected = 2 * (game.A @ target).max()
    solution = solve(game, rule, max_products=4000, start=PAPER_START)
    assert not solution.converged
    assert solution.duality_gap == pytest.approx(expected, rel=1e-6)
    assert expected == pytest.approx(0.059, abs=5e-4)


@pytest.mark.parametrize("rule", [MWU(0.15), SPPO(0.15)])
def test_self_play_spirals_away_from_a_mixed_nash_policy(rule):
    """MWU: KL(pi* || pi_t) grows by log E exp(eta A pi_t) ≥ 0 every step, as <pi*, A pi_t> = 0."""
    log_nash = np.log(np.array([4, 3, 4]) / 11)
    trajectory = solve(named_game("paper"), rule, 0.0, 3000, PAPER_START, "policies").trajectory
    divergence = kl(log_nash, np.log(trajectory.policies))
    assert np.diff(divergence).min() > -1e-12
    assert divergence[-1] > 2 * divergence[0]
    assert trajectory.gaps[-500:].min() > 0.15


def test_self_play_approaches_the_nash_policy_on_average():
    trajectory = solve(named_game("paper"), MWU(0.05), 0.0, 20_000, PAPER_START, "policies").trajectory
    average = trajectory.policies.mean(axis=0)
    assert 2 * (named_game("paper").A @ average).max() < 0.02


def test_optimism_converges_to_the_nash_policy_of_the_original_game():
    solution = solve(named_game("paper"), OMWU(1.0), start=PAPER_START)
    assert solution.converged
    np.testing.assert_allclose(solution.policy, np.array([4, 3, 4]) / 11, atol=1e-7)


@pytest.mark.parametrize(("period", "below", "above"), [(100, 1e-6, 0.0), (5, np.inf, 0.01)])
def test_mpo_converges_if_its_magnet_waits_long_enough(period, below, above):
    solution = solve(named_game("paper"), MPO(0.15, 0.1, period), 0.0, 3000, PAPER_START)
    assert above < solution.duality_gap < below


def test_sppo_agrees_with_mwu_to_second_order_only():
    """Halving eta divides the difference of one step by 4 to 8, and it is not 0."""
    game = PreferenceGame(random_table(5, seed=1))
    start = random_policy(5, seed=2)
    off = []
    for eta in (0.2, 0.1, 0.05):
        one, other = (run(game, make(eta), 1, start).policies()[0] for make in (MWU, SPPO))
        off.append(np.abs(one - other).sum())
    assert off[2] > 1e-7
    assert 3.5 < off[0] / off[1] < 9
    assert 3.5 < off[1] / off[2] < 9


class TestFixedInnerCounts:
    """COMAL(INPO) of the paper's game from (.2, .5, .3), eta .15, tau .1: how long the inner solver runs decides.

    An inner game of K steps is solved to (1 − eta tau)^K: .22 for K = 100, .69 for K = 25, so the latter moves
    its reference while the policy is still on its way round, much as self-play does.
    """

    def gap(self, inner_steps, products):
        rule = COMAL(inner=INPO(0.15, 0.1), inner_steps=inner_steps, update="copy")
        return solve(named_game("paper"), rule, 0.0, products, PAPER_START).duality_gap

    def test_enough(self):
        assert 1e-5 < self.gap(100, 1000) < 1e-3
        assert self.gap(100, 3000) < 1e-9

    def test_not_enough(self):
        assert self.gap(25, 3000) > 0.01

    def test_the_certificate_needs_no_count(self):
        solution = solve(named_game("paper"), COMAL(inner=INPO(0.15, 0.1)), 1e-7, 5000, PAPER_START)
        assert solution.converged


def test_programs_of_fixed_count_are_the_inner_instructions_and_a_copy():
    inner = INPO(3, 0.2)
    program = COMAL(inner=inner, inner_steps=6, update="copy").program()
    step = next(inner.program())
    backend = ExactBackend(named_game("paper"))
    instruction = next(program)
    for index in range(70):
        assert instruction == (Copy(POLICY, REFERENCE) if index % 7 == 6 else step)
        instruction = program.send(backend.execute(index, instruction))


def test_without_a_count_every_policy_step_is_certified():
    program = COMAL(inner=EGPO(0.5, 0.2)).program()
    backend = ExactBackend(named_game("paper"), PAPER_START)
    instruction = next(program)
    seen = []
    for index in range(60):
        seen.append(instruction)
        instruction = program.send(backend.execute(index, instruction))
    for before, after in pairwise(seen):
        took_a_step = isinstance(before, ProxStep) and before.out == POLICY
        assert isinstance(after, Certify) == took_a_step
    assert any(isinstance(i, ProxStep) and i.out == REFERENCE for i in seen)


@quick
@given(games(max_n=6), seeds)
def test_onpo_is_omwu_after_a_first_step_of_double_length(game, seed):
    """pi_{t+1} ∝ pi_t exp(eta (2 P pi_t − P pi_{t−1})), written out here, with P pi_{−1} = 0."""
    eta, start = 0.2, random_policy(game.n, seed)
    policy, before = start, np.zeros(game.n)
    found = run(game, ONPO(eta), 1 + 2 * 6, start).policies()[0]
    for _ in range(6):
        payoff = game.P @ policy
        weights = policy * np.exp(eta * (2 * payoff - before))
        policy, before = weights / weights.sum(), payoff
    np.testing.assert_allclose(found, policy, atol=1e-10)


@quick
@given(st.integers(2, 6), seeds, st.floats(0.05, 1.0))
def test_iterative_dpo_tilts_by_the_true_score_of_bradley_terry_preferences(n, seed, eta):
    """So t rounds are one tilt by eta·t·s, and the answer of the highest score, the Nash policy, takes all."""
    scores = np.random.default_rng(seed).normal(size=n)
    game = PreferenceGame(1 / (1 + np.exp(scores[None, :] - scores[:, None])))
    start = random_policy(n, seed)
    weights = np.log(start) + 5 * eta * scores
    expected = np.exp(weights - np.logaddexp.reduce(weights))
    np.testing.assert_allclose(run(game, IterativeDPO(eta), 5, start).policies()[0], expected, atol=1e-7)


@pytest.mark.parametrize(("rule", "times"), [(IterativeDPO(0.3), 5), (IterativeIPO(0.3), 1.1)])
def test_iterative_preference_optimisation_leaves_a_mixed_nash_policy(rule, times):
    game = named_game("paper")
    nash = nash_policy(game)
    np.testing.assert_allclose(run(game, rule, 3, nash).policies()[0], nash, atol=1e-7)
    distances = [float(kl(np.log(nash), np.log(PAPER_START)))]
    run(
        game,
        rule,
        60,
        PAPER_START,
        lambda _, backend: distances.append(float(kl(np.log(nash), backend.log_policy()[0]))),
    )
    assert distances[-1] > times * distances[0], "the last iterate has moved away"
