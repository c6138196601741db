"""The sampled interpreter: unbiased, exact in the limit, honest about its error, and exact about what it asks."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comal.algorithms.base import (
    POLICY,
    REFERENCE,
    Certify,
    Copy,
    FixedPartitionStep,
    InformedProxStep,
    Mix,
    Opponents,
    Polish,
    ProximalPoint,
    ProxStep,
    SolveLP,
    SolveRegularised,
    against,
    only,
)
from comal.algorithms.comal import COMAL
from comal.algorithms.comal_sampled import SampledCOMAL
from comal.algorithms.inpo import INPO
from comal.algorithms.mwu import MWU
from comal.errors import ConfigError, GameError
from comal.games import (
    Comparisons,
    ExactBackend,
    PreferenceGame,
    SampledBackend,
    Sampling,
    kl,
    named_game,
    regularised_best_response,
    run_sampled,
)
from comal.games.sampled import _importance_weighted
from comal.plugins import ALGORITHMS, describe
from random_games import random_policy, random_table

EVERY = ALGORITHMS.names()
VALUES = {"eta": 0.3, "tau": 0.2, "period": 3, "reverse_tau": 0.2, "forward_tau": 0.1}
STEP = ProxStep(only(REFERENCE), against(POLICY), 1.0)


def build(name):
    fields = dataclasses.fields(ALGORITHMS.find(name, "algorithm"))
    needed = {f.name: VALUES[f.name] for f in fields if f.default is dataclasses.MISSING}
    return ALGORITHMS.build({"name": name} | needed, "algorithm")


def backend_of(game, sampling, runs=1, start=None, seed=0):
    return SampledBackend(Comparisons(game, runs, seed), sampling, start, seed)


# What it asks


def test_the_oracle_tosses_the_coin_of_the_pair():
    game = named_game("paper")
    oracle = Comparisons(game, seed=3)
    first, second = np.zeros((1, 40_000), np.intp), np.ones((1, 40_000), np.intp)
    share = oracle.ask(np.array([0]), first, second).mean()
    assert share == pytest.approx(game.P[0, 1], abs=4 * np.sqrt(0.09 / 40_000))
    assert oracle.asked.tolist() == [40_000]


def test_a_batch_of_games_is_repeated_run_by_run():
    """Game 0 is certain one way, game 1 the other way."""
    P = np.array([[0.5, 1.0], [0.0, 0.5]])
    oracle = Comparisons(PreferenceGame(np.stack([P, P.T])), repeats=2)
    won = oracle.ask(np.arange(4), np.zeros((4, 5), np.intp), np.ones((4, 5), np.intp))
    np.testing.assert_array_equal(won, [[True] * 5] * 2 + [[False] * 5] * 2)


@pytest.mark.parametrize("reuse", [True, False])
@pytest.mark.parametrize("name", [name for name in EVERY if name not in ("comal", "slhf")])  # which need a table
def test_every_algorithm_spends_exactly_what_it_is_given(name, reuse):
    sampling = Sampling(comparisons=6, reuse=reuse, certificate=12)
    found = run_sampled(named_game("paper"), build(name), sampling, 240, repeats=3)
    if reuse or not name.startswith("comal"):
        assert found.asked.tolist() == [240] * 3
        assert found.prox_steps.tolist() == [40] * 3
    else:
        assert (found.asked <= 240).all()
        assert (found.asked > 240 - 18).all()
    assert np.isfinite(found.gaps).all()
    np.testing.assert_allclose(found.policies.sum(axis=1), 1, atol=1e-12)


def test_signed_opponents_share_the_comparisons_of_a_step():
    opponents = Opponents(((2.0, only(POLICY)), (-1.0, only(REFERENCE))))
    backend = backend_of(named_game("paper"), Sampling(comparisons=9))
    backend.execute(0, ProxStep(only(POLICY), opponents, 0.1))
    assert backend.oracle.asked.tolist() == [9]
    with pytest.raises(ConfigError, match="at least as many"):
        backend_of(named_game("paper"), Sampling(comparisons=1)).execute(0, ProxStep(only(POLICY), opponents, 0.1))


def test_certificates_are_free_on_a_record_and_paid_without():
    for reuse, paid in ((True, 10), (False, 60)):
        backend = backend_of(named_game("paper"), Sampling(comparisons=10, reuse=reuse, certificate=50))
        backend.execute(0, STEP)
        backend.execute(1, Certify(0.3))
        assert backend.oracle.asked.tolist() == [paid]


# What it asks


def drawn(step, choose=False, count=4_000):
    """How often each pair met in a step on the paper's game in which answer 2 is hardly played."""
    backend = SampledBackend(
        Comparisons(named_game("paper"), seed=1),
        Sampling(comparisons=count, explore=0.0, choose=choose),
        np.array([0.6, 0.35, 0.05]),
    )
    backend.execute(0, step)
    return backend.record.wins[0] + backend.record.wins[0].T, backend


INFORMED = InformedProxStep(only(POLICY), against(POLICY), 0.1)


def test_an_informed_step_asks_each_pair_in_proportion_to_the_doubt_it_leaves():
    """Nothing is known yet, so that all pairs are in equal doubt, and shares go by (p_i p_j)²."""
    met, backend = drawn(INFORMED)
    assert backend.oracle.asked.tolist() == [4_000]
    assert met.sum() / 2 == 4_000  # no answer met itself
    weights = np.array([0.6 * 0.35, 0.6 * 0.05, 0.35 * 0.05]) ** 2
    found = np.array([met[0, 1], met[0, 2], met[1, 2]]) / 4_000
    np.testing.assert_allclose(found, weights / weights.sum(), atol=4 * np.sqrt(0.25 / 4_000))


def test_what_was_asked_often_is_asked_no_more_than_it_is_in_doubt():
    _, backend = drawn(INFORMED, count=200)
    before = backend.record.wins[0] + backend.record.wins[0].T
    variance = backend.record.variance(np.array([0]))[0]
    weights = np.array([0.6 * 0.35, 0.6 * 0.05, 0.35 * 0.05]) ** 2 * [variance[0, 1], variance[0, 2], variance[1, 2]]
    backend.execute(1, InformedProxStep(only(REFERENCE), against(REFERENCE), 0.1))
    more = backend.record.wins[0] + backend.record.wins[0].T - before
    found = np.array([more[0, 1], more[0, 2], more[1, 2]]) / 200
    np.testing.assert_allclose(found, weights / weights.sum(), atol=4 * np.sqrt(0.25 / 200))


def test_other_steps_draw_both_answers_unless_told_to_choose():
    met, _ = drawn(STEP)
    assert met.sum() / 2 == pytest.approx(4_000 * (1 - 0.6**2 - 0.35**2 - 0.05**2), abs=4 * np.sqrt(1_000))
    np.testing.assert_array_equal(drawn(STEP, choose=True)[0], drawn(INFORMED)[0])


def test_informed_steps_need_a_record_and_a_second_answer():
    alone = PreferenceGame(np.array([[0.5]]))
    backend = SampledBackend(Comparisons(alone), Sampling(comparisons=5))
    backend.execute(0, INFORMED)
    assert backend.oracle.asked.tolist() == [5]
    fresh = Sampling(comparisons=50, reuse=False)
    one, other = (SampledBackend(Comparisons(named_game("paper")), fresh) for _ in range(2))
    one.execute(0, INFORMED)
    other.execute(0, ProxStep(INFORMED.anchor, INFORMED.opponent, INFORMED.eta))
    np.testing.assert_array_equal(one.log_policy(), other.log_policy())


# What it estimates


@pytest.mark.parametrize("explore", [0.0, 0.5])
def test_win_rates_of_a_step_are_unbiased(explore):
    """The mean of 40,000 one-step estimates is within four standard errors of A p."""
    P, p = random_table(4, seed=1), np.array([0.4, 0.3, 0.2, 0.1])
    game, runs = PreferenceGame(P), 40_000
    backend = backend_of(game, Sampling(comparisons=3, reuse=False, explore=explore), runs, p)
    opponent = np.tile(p, (runs, 1))
    draw = backend._ask(np.arange(runs), backend._explored(np.arange(runs), opponent), opponent, 3)
    estimates = _importance_weighted(draw, 4)
    error = estimates.std(axis=0) / np.sqrt(runs)
    assert (np.abs(estimates.mean(axis=0) - game.A @ p) < 4 * error).all()


@settings(max_examples=15)
@given(st.integers(2, 5), st.integers(0, 10_000), st.booleans(), st.sampled_from([ProxStep, FixedPartitionStep]))
def test_a_step_becomes_the_exact_step_as_comparisons_grow(n, seed, reuse, kind):
    """With M comparisons a payoff is off by about 1/(2 sqrt(M q)), q ≥ 1/(2n); six of these bound every log-ratio."""
    game = PreferenceGame(random_table(n, seed))
    start = 0.5 * random_policy(n, seed) + 0.5 / n
    many = 40_000
    step = kind(Mix({POLICY: 0.7, REFERENCE: 0.3}), against(POLICY), 0.5)
    exact = ExactBackend(game, start)
    sampled = backend_of(game, Sampling(comparisons=many, reuse=reuse), 1, start, seed)
    exact.execute(0, step)
    sampled.execute(0, step)
    bound = 2 * 0.5 * 6 * 0.5 * np.sqrt(4 * n * n / many)
    assert np.abs(exact.log_policy() - sampled.log_policy()).max() < bound


def test_a_record_reads_every_pair_both_ways():
    backend = backend_of(named_game("paper"), Sampling(comparisons=500))
    backend.execute(0, STEP)
    record = backend.record
    wins = record.wins[0]
    A = record.payoff(np.array([0]), np.array([[0.0, 1.0, 0.0]]))[0]
    assert A[0] == pytest.approx((wins[0, 1] + 0.5) / (wins[0, 1] + wins[1, 0] + 1) - 0.5)
    assert A[1] == 0
    np.testing.assert_array_equal(np.diag(wins), 0)
    np.testing.assert_array_equal(record.variance(np.array([0]))[0], record.variance(np.array([0]))[0].T)


# The certificate


def exact_certificate(game, p, reference, tau):
    return kl(np.log(p), regularised_best_response(game, np.log(p), np.log(reference), tau))


def test_a_fresh_certificate_is_right_within_its_standard_error():
    """Over 4,000 repetitions the bias is below a tenth of a standard error, which itself is right to a tenth."""
    game, p = named_game("paper"), np.array([0.5, 0.2, 0.3])
    backend = backend_of(game, Sampling(reuse=False, certificate=1_000), 4_000)
    backend._roles[POLICY][:] = np.log(p)
    reports = backend.execute_on(np.arange(4_000), Certify(0.4))
    estimates = np.array([report.kl_best_response for report in reports])
    errors = np.array([report.kl_best_response_stderr for report in reports])
    exact = exact_certificate(game, p, np.full(3, 1 / 3), 0.4)
    assert estimates.mean() == pytest.approx(exact, abs=0.1 * estimates.std())
    assert errors.mean() == pytest.approx(estimates.std(), rel=0.1)
    assert reports[0].kl_reference == pytest.approx(kl(np.log(p), np.log(np.full(3, 1 / 3))))


def test_without_its_correction_a_fresh_certificate_would_be_too_large():
    """The exponential of noise: the plug-in's bias is tr(H Cov)/2 > 0, several standard errors of this mean."""
    game, p, runs = named_game("paper"), np.array([0.5, 0.2, 0.3]), 4_000
    backend = backend_of(game, Sampling(reuse=False, certificate=100), runs)
    everyone = np.arange(runs)
    opponent = np.tile(p, (runs, 1))
    reference = np.full((runs, 3), 1 / 3)
    payoff = _importance_weighted(backend._ask(everyone, reference, opponent, 100), 3)
    plug_in = kl(np.log(p), np.log(reference[0])) + np.log((reference * np.exp(payoff / 0.4)).sum(axis=1))
    exact = exact_certificate(game, p, reference[0], 0.4)
    assert plug_in.mean() - exact > 4 * plug_in.std() / np.sqrt(runs)
    backend._roles[POLICY][:] = np.log(p)
    estimates = np.array([report.kl_best_response for report in backend.execute_on(everyone, Certify(0.4))])
    assert abs(estimates.mean() - exact) < (plug_in.mean() - exact) / 3


def test_a_certificate_of_what_was_fitted_to_the_record_admits_the_noise():
    """p solves the recorded games, whose plug-in certificate is 0; the true one is what the correction says."""
    game, runs, tau = named_game("paper"), 1_000, 0.5
    backend = backend_of(game, Sampling(comparisons=300, prior=0.01), runs)
    everyone = np.arange(runs)
    backend.execute_on(everyone, ProxStep(only(REFERENCE), against(POLICY), 0.01))
    reference = np.full(3, 1 / 3)
    p = np.full((runs, 3), 1 / 3)
    for _ in range(60):
        response = np.exp(backend.record.payoff(everyone, p) / tau) * reference
        p = np.sqrt(p * response / response.sum(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
    backend._roles[POLICY][:] = np.log(p)
    estimates = np.array([report.kl_best_response for report in backend.execute_on(everyone, Certify(tau))])
    true = np.array([exact_certificate(game, q, reference, tau) for q in p])
    assert estimates.mean() == pytest.approx(true.mean(), rel=0.15)


def test_the_certificate_of_a_long_record_is_the_exact_one():
    game, tau = named_game("paper"), 0.3
    backend = backend_of(game, Sampling(comparisons=200_000))
    backend.execute(0, ProxStep(only(REFERENCE), against(POLICY), 0.5))
    report = backend.execute(1, Certify(tau))
    exact = exact_certificate(game, np.exp(backend.log_policy()[0]), np.full(3, 1 / 3), tau)
    assert abs(report.kl_best_response - exact) < 4 * report.kl_best_response_stderr + 1e-4
    assert report.kl_best_response_stderr < 0.01


def test_doubt_keeps_the_reference_where_it_is():
    """A certificate that passes by its estimate alone does not pass with its standard error."""
    from comal.algorithms.base import Report

    def moves(stderr):
        program = COMAL(inner=INPO(1, 0.1), update="copy").program()
        next(program)
        assert isinstance(program.send(Report()), Certify)
        follows = program.send(Report(kl_best_response=0.4, kl_reference=1.0, kl_best_response_stderr=stderr))
        return isinstance(follows, Copy)

    assert moves(None)
    assert moves(0.01)
    assert not moves(0.5)


# Runs


@pytest.mark.parametrize("rule", [MWU(1.0), SampledCOMAL(), COMAL(inner=INPO(1, 0.3), inner_steps=5)])
def test_the_same_seed_gives_the_same_run_and_another_seed_another(rule):
    one, again, other = (run_sampled(named_game("paper"), rule, None, 300, 4, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.gaps, again.gaps)
    np.testing.assert_array_equal(one.policies, again.policies)
    assert (one.policies != other.policies).any()
    assert len(np.unique(one.policies[:, 0])) == 4


def test_runs_follow_programs_of_their_own():
    """Each run's reference moves when its own certificate says so."""
    found = run_sampled(named_game("paper"), COMAL(inner=INPO(1, 0.3), update="copy"), Sampling(), 2_000, 12)
    assert len(set(found.moves.tolist())) > 1
    assert found.asked.tolist() == [2_000] * 12


def test_the_marks_see_the_start_and_the_end():
    game = named_game("paper")
    found = run_sampled(game, MWU(1.0), Sampling(comparisons=7), 70, 2, start=np.array([0.2, 0.5, 0.3]), marks=4)
    assert found.comparisons[0] == 0
    assert found.comparisons[-1] == 70
    assert found.gaps[:, 0].tolist() == pytest.approx([2 * (game.A @ [0.2, 0.5, 0.3]).max()] * 2)
    np.testing.assert_allclose(found.gaps[:, -1], 2 * (found.policies @ game.A.T).max(axis=1), atol=1e-12)


def test_the_default_needs_no_settings_and_comes_near_the_nash_policy():
    found = run_sampled(named_game("paper"), SampledCOMAL(), None, 4_000, 8)
    assert found.gaps[:, -1].mean() < 0.08
    self_play = run_sampled(named_game("paper"), MWU(1.0), None, 4_000, 8)
    assert found.gaps[:, -1].max() < self_play.gaps[:, -1].mean()


# Refusals


@pytest.mark.parametrize(
    "instruction", [SolveRegularised(0.1, 0.5), ProximalPoint(0.1, 0.5), Polish(), SolveLP()], ids=repr
)
def test_what_needs_the_whole_table_is_refused(instruction):
    with pytest.raises(ConfigError, match=f"whole preference table.*{type(instruction).__name__}.*comal_sampled"):
        backend_of(named_game("paper"), Sampling()).execute(0, instruction)


def test_comal_without_settings_says_what_to_use_instead():
    with pytest.raises(ConfigError, match="comal_sampled"):
        run_sampled(named_game("paper"), COMAL(), None, 100)


def test_a_policy_that_was_never_written_is_refused():
    with pytest.raises(ConfigError, match="`half` before writing it"):
        backend_of(named_game("paper"), Sampling()).execute(0, Copy("half", POLICY))


def test_a_program_that_asks_nothing_is_stopped():
    class Idle(MWU):
        def program(self):
            while True:
                yield Copy(POLICY, REFERENCE)

    with pytest.raises(ConfigError, match="asked nothing"):
        run_sampled(named_game("paper"), Idle(1.0), None, 100)


@pytest.mark.parametrize(
    "bad", [{"comparisons": 0}, {"certificate": 1}, {"explore": 1.0}, {"explore": -0.1}, {"prior": 0}]
)
def test_senseless_sampling_is_refused(bad):
    with pytest.raises(ValueError, match="need"):
        Sampling(**bad)


@pytest.mark.parametrize("comparisons", [0, 5, 15])
def test_comparisons_that_are_no_whole_steps_are_refused(comparisons):
    with pytest.raises(GameError, match="multiple of 10"):
        run_sampled(named_game("paper"), MWU(1.0), None, comparisons)


@pytest.mark.parametrize("start", [[0.5, 0.5, 0.0], [0.5, 0.5], [0.5, 0.4, 0.3], [np.nan, 0.5, 0.5]])
def test_starts_without_full_support_are_refused(start):
    with pytest.raises(GameError, match="start"):
        run_sampled(named_game("paper"), MWU(1.0), None, 100, start=np.array(start))


def test_no_repeats_are_refused():
    with pytest.raises(GameError, match="repeats"):
        Comparisons(named_game("paper"), 0)


def test_the_default_is_described_and_built_again():
    assert ALGORITHMS.build(describe(SampledCOMAL()), "algorithm") == SampledCOMAL()
