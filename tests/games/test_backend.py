import numpy as np
import pytest

from comal.algorithms.base import (
    POLICY,
    REFERENCE,
    Certify,
    Copy,
    ExactOnly,
    Mix,
    Opponents,
    Polish,
    ProxStep,
    SolveLP,
    SolveRegularised,
    against,
    only,
)
from comal.algorithms.inpo import INPO
from comal.engine import MemoryJournal, run
from comal.errors import ConfigError, GameError
from comal.games import ExactBackend, PreferenceGame, duality_gap, kl, named_game, regularised_best_response, win_rate
from random_games import random_policy, random_table

STEP = ProxStep(only(POLICY), against(POLICY), 0.5)


def batch(count, n):
    return PreferenceGame(np.stack([random_table(n, seed) for seed in range(count)]))


def test_reports_say_what_was_measured():
    game, start = named_game("paper"), np.array([0.2, 0.5, 0.3])
    backend = ExactBackend(game, start)
    backend.gaps()
    report = backend.execute(0, STEP)
    after = backend.policies()[0]
    assert report.kl_moved == pytest.approx(float(kl(np.log(after), np.log(start))))
    assert report.kl_reference == pytest.approx(report.kl_moved)
    assert report.win_rate_previous == pytest.approx(float(win_rate(game, after, start)))
    assert report.duality_gap == pytest.approx(float(duality_gap(game, after)))


def test_a_certificate_reports_both_divergences_and_changes_nothing():
    game, start = named_game("paper"), np.array([0.2, 0.5, 0.3])
    backend = ExactBackend(game, start)
    backend.execute(0, STEP)
    before = backend.policies()
    report = backend.execute(1, Certify(0.2))
    p, reference = np.log(before[0]), np.log(start)
    response = regularised_best_response(game, p, reference, 0.2)
    assert report.kl_best_response == pytest.approx(float(kl(p, response)))
    assert report.kl_reference == pytest.approx(float(kl(p, reference)))
    np.testing.assert_array_equal(backend.policies(), before)


def test_a_certificate_of_a_batch_is_one_games_and_the_furthest_from_solved():
    games = batch(6, 4)
    backend = ExactBackend(games)
    backend.execute(0, STEP)
    report = backend.execute(1, Certify(0.3))
    each = []
    for table in games.P:
        one = ExactBackend(PreferenceGame(table))
        one.execute(0, STEP)
        each.append(one.execute(1, Certify(0.3)))
    worst = max(each, key=lambda r: r.kl_best_response / r.kl_reference)
    assert report.kl_best_response == pytest.approx(worst.kl_best_response)
    assert report.kl_reference == pytest.approx(worst.kl_reference)


def test_one_policys_product_is_made_once():
    backend = ExactBackend(named_game("paper"))
    for index, instruction in enumerate([Certify(0.1), Certify(0.2), STEP, Copy(POLICY, "kept")]):
        backend.execute(index, instruction)
        backend.gaps()
    assert backend.products == 2  # of the start, and of the policy after the step
    backend.execute(4, ProxStep(only(POLICY), against("kept"), 0.1, out="other"))
    assert backend.products == 2
    backend.execute(5, ProxStep(only(POLICY), against(Mix({"kept": 0.5, "other": 0.5})), 0.1, out="other"))
    assert backend.products == 3


def test_signed_opponents_and_mixtures_are_taken_literally():
    P, p, q = random_table(4, 1), random_policy(4, 2), random_policy(4, 3)
    backend = ExactBackend(PreferenceGame(P), p)
    backend._roles["other"] = type(backend._roles[POLICY])(np.log(q)[None])
    mix = Mix({POLICY: 1.5, "other": -0.5})
    backend.execute(0, ProxStep(mix, Opponents(((2.0, only(POLICY)), (-1.0, only("other")))), 0.7))
    expected = p**1.5 * q**-0.5 * np.exp(0.7 * (2 * P @ p - P @ q))
    np.testing.assert_allclose(backend.policies()[0], expected / expected.sum(), rtol=1e-12)


def test_answers_without_mass_stay_without():
    backend = ExactBackend(named_game("paper"), np.array([0.5, 0.5, 0.0]))
    run(INPO(0.5, 0.2), backend, MemoryJournal(), lambda index, *_: index == 50)
    policy = backend.policies()[0]
    assert policy[2] == 0
    assert policy.sum() == pytest.approx(1)
    assert policy[1] > policy[0]  # b beats a
    backend.execute(51, SolveRegularised(0.2, 1e-3))
    assert backend.policies()[0][2] == 0


def test_mass_that_underflows_comes_back():
    """After 4,000 steps towards b, a's probability is e^{-1,000·…}, 0 as a float; its logarithm is not lost."""
    P = np.array([[0.5, 0.1], [0.9, 0.5]])
    backend = ExactBackend(PreferenceGame(P))
    for index in range(4000):
        backend.execute(index, STEP)
    assert backend.policies()[0][0] == 0
    assert backend.log_policy()[0][0] == pytest.approx(-4000 * 0.5 * 0.4, rel=0.01)


def test_a_batch_goes_the_way_of_its_games():
    games = batch(5, 6)
    together = ExactBackend(games)
    for index in range(30):
        together.execute(index, STEP)
    for i, table in enumerate(games.P):
        alone = ExactBackend(PreferenceGame(table))
        for index in range(30):
            alone.execute(index, STEP)
        np.testing.assert_allclose(together.policies()[i], alone.policies()[0], rtol=1e-10)


def test_retired_games_stay_as_they_were():
    backend = ExactBackend(batch(4, 3))
    backend.execute(0, STEP)
    frozen, gaps = backend.policies(), backend.all_gaps()
    backend.retire(np.array([False, True, False, True]))
    backend.execute(1, STEP)
    backend.retire(np.array([True, False]))
    np.testing.assert_array_equal(backend.open_games, [2])
    np.testing.assert_array_equal(backend.policies()[[1, 3]], frozen[[1, 3]])
    np.testing.assert_array_equal(backend.all_gaps()[[1, 3]], gaps[[1, 3]])
    assert (backend.policies()[[0, 2]] != frozen[[0, 2]]).any(axis=1).all()


def test_a_small_tau_is_reached_from_a_larger_one():
    """Newton's method from the reference fails at some of these; every one must come out solved."""
    for seed in range(20):
        game = PreferenceGame(random_table(8, seed))
        report = ExactBackend(game, random_policy(8, seed)).execute(0, SolveRegularised(1e-3, 1e-6))
        assert report.kl_best_response <= 1e-6 * report.kl_reference + 1e-20
        assert report.iterations >= 1


def test_linear_programming_and_polishing_only_ever_improve_the_policy():
    game = PreferenceGame(random_table(9, 4))
    backend = ExactBackend(game)
    before = backend.gaps()[0]
    backend.execute(0, Polish())
    assert backend.gaps()[0] <= before
    backend.execute(1, SolveLP())
    assert backend.gaps()[0] <= 1e-9
    assert backend.lp_solves == 1


def test_engine_and_journal_replay_to_the_same_state():
    games = batch(2, 4)
    whole, resumed = ExactBackend(games), ExactBackend(games)
    reports = []
    run(INPO(0.3, 0.2), whole, MemoryJournal(), lambda index, _, report: reports.append(report) or index == 9)

    class Half:
        reports: tuple = ()
        append = staticmethod(lambda *_: None)

    half = Half()
    half.reports = tuple(reports[:5])
    run(INPO(0.3, 0.2), resumed, half, lambda index, *_: index == 9)
    np.testing.assert_array_equal(whole.policies(), resumed.policies())


class Unheard(ExactOnly):
    pass


@pytest.mark.parametrize(
    "instruction", [Unheard(), ProxStep(only("nobody"), against(POLICY), 1.0), Copy("nobody", "x")]
)
def test_what_cannot_be_carried_out_is_said(instruction):
    with pytest.raises(ConfigError, match=r"Unheard|nobody"):
        ExactBackend(named_game("paper")).execute(0, instruction)


@pytest.mark.parametrize("start", [[0.5, 0.5], [0.5, 0.5, 0.5], [1.5, -0.5, 0], [np.nan, 0.5, 0.5], 1.0])
def test_a_start_that_is_no_policy_is_refused(start):
    with pytest.raises(GameError, match="start"):
        ExactBackend(named_game("paper"), np.asarray(start))


def test_both_roles_start_as_the_initial_policy():
    start = np.array([0.2, 0.5, 0.3])
    backend = ExactBackend(named_game("paper"), start)
    for role in (POLICY, REFERENCE):
        np.testing.assert_allclose(np.exp(backend.log_policy(role)[0]), start)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, float("nan")])
def test_a_share_of_a_step_is_a_share(share):
    with pytest.raises(GameError, match="need a share above 0, and 1 at most"):
        ExactBackend(named_game("paper"), arrives=share)


@pytest.mark.parametrize("out", [POLICY, "half"])
def test_a_part_of_a_step_lies_between_the_policy_and_all_of_it(out):
    start, step = np.array([0.2, 0.5, 0.3]), ProxStep(only(REFERENCE), against(POLICY), 0.7, out)
    part = ExactBackend(named_game("paper"), start, arrives=0.25)
    part.execute(0, ProxStep(only(POLICY), against(POLICY), 0.4))
    before = part.log_policy()[0]
    asked = ExactBackend(named_game("paper"), start)
    asked.execute(0, ProxStep(only(POLICY), against(POLICY), 0.4))
    first = np.log(start)
    # A quarter of the first step, from the start; then a quarter of the way from there to what the second one asks.
    assert before == pytest.approx(_normal(0.75 * first + 0.25 * asked.log_policy()[0]))
    payoff = named_game("paper").P @ np.exp(before)
    part.execute(1, step)
    assert part.log_policy(out)[0] == pytest.approx(_normal(0.75 * before + 0.25 * _normal(first + 0.7 * payoff)))


def test_answers_that_are_out_stay_out_of_a_part_of_a_step():
    backend = ExactBackend(named_game("paper"), np.array([0.4, 0.6, 0.0]), arrives=0.5)
    backend.execute(0, STEP)
    [policy] = backend.policies()
    assert policy[2] == 0.0
    assert policy.sum() == pytest.approx(1.0)


def _normal(x):
    return x - np.logaddexp.reduce(x)
