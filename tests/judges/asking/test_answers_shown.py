import itertools
import math

import numpy as np
import pytest

from comal.games.populations import PopulationGame
from comal.judges.asking.answers_shown import taken_from_draws, win_rates_against_draws
from comal.judges.asking.tables import win_rates_against_others

K = 5
POPULATION = PopulationGame(  # strict users, users with ties, and one to whom all is the same
    np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [3.0, 3.0, 3.0]]), np.array([0.4, 0.3, 0.2, 0.1])
)
NOISY = PopulationGame(
    np.array([[2.0, 1.0, 0.0], [0.0, 1.5, 1.0], [1.0, 1.0, 1.0]]), np.array([0.5, 0.3, 0.2]), np.array([0.7, 1.3, 1.0])
)
POLICY = np.array([0.5, 0.3, 0.2])


def verdicts(samples):
    """Each user's verdicts on all pairs of the samples, (users, K, K)."""
    shown = POPULATION.utilities[:, list(samples)]
    return 0.5 * (1 + np.sign(shown[:, :, None] - shown[:, None, :]))


def noisy_verdicts(samples):
    """Luce's users: odds of two answers are the ratio of exp(utility / temperature)."""
    shown = NOISY.utilities[:, list(samples)] / NOISY.temperature[:, None]
    return 1 / (1 + np.exp(shown[:, None, :] - shown[:, :, None]))


@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize(("population", "said"), [(POPULATION, verdicts), (NOISY, noisy_verdicts)])
def test_over_all_tuples_of_samples_the_mean_is_the_exact_rate(population, said, k):
    """E[ŵ_k(y_1) | y_1 = y] is w_k(y), over all 3^4 tuples of the other samples; of one tuple the mean is 1/(k + 1).

    Of noisy users the exact rate is Plackett and Luce's, by quadrature.
    """
    exact = population.win_rates(POLICY, k)
    for answer in range(3):
        mean = sum(
            math.prod(POLICY[y] for y in others)
            * win_rates_against_draws(said((answer, *others)), k, population.weights)[0]
            for others in itertools.product(range(3), repeat=K - 1)
        )
        assert mean == pytest.approx(exact[answer], abs=1e-12)
    assert win_rates_against_draws(said((0, 2, 1, 1, 0)), k).mean() == pytest.approx(1 / (k + 1))


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_it_is_the_mean_over_all_ways_to_show_k_of_the_others(k):
    """Counted one by one: of i and k others, the user takes one of the best by lot."""
    samples = (0, 2, 1, 1, 0)
    found = win_rates_against_draws(verdicts(samples), k, POPULATION.weights)
    utilities = POPULATION.utilities[:, list(samples)]
    for i in range(K):
        shares = []
        for shown in itertools.combinations([j for j in range(K) if j != i], k):
            own, others = utilities[:, i], utilities[:, list(shown)]
            best = (own[:, None] >= others).all(axis=1)
            shares.append(POPULATION.weights @ (best / (1 + (own[:, None] == others).sum(axis=1))))
        assert found[i] == pytest.approx(np.mean(shares), abs=1e-12)


def test_without_ties_it_counts_the_subsets_of_the_beaten():
    """y beats r = 3 of 4 others: C(3, 2) / C(4, 2) = 1/2."""
    ranks = np.array([3, 4, 2, 1, 0])
    P = (ranks[:, None] > ranks[None, :]).astype(float)[None]
    assert win_rates_against_draws(P, 2)[0] == pytest.approx(0.5)


def test_one_other_answer_is_the_win_rate_against_the_others():
    tables = verdicts((0, 1, 2, 0, 1))
    means = [win_rates_against_others(table) for table in tables]
    np.testing.assert_allclose(win_rates_against_draws(tables, 1), np.mean(means, axis=0))


def test_all_rates_together_are_as_many_as_there_are_winners():
    """Of any k + 1 answers one is taken: the mean over a prompt's answers is 1/(k + 1) exactly."""
    for k in range(1, K):
        assert win_rates_against_draws(verdicts((0, 2, 1, 1, 0)), k).mean() == pytest.approx(1 / (k + 1))


def test_no_verdict_is_no_rate_for_its_two_answers():
    tables = verdicts((0, 1, 2, 0, 1))
    tables[2, 1, 3] = tables[2, 3, 1] = np.nan
    found = win_rates_against_draws(tables, 2)
    assert np.isnan(found).tolist() == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("tables", "k", "weights", "message"),
    [
        (np.zeros((3, 3)), 1, None, "square table for each user"),
        (np.zeros((0, 3, 3)), 1, None, "square table for each user"),
        (np.zeros((2, 3, 3)), 3, None, "k from 1 to 2, got 3"),
        (np.zeros((2, 3, 3)), 0, None, "got 0"),
        (np.full((2, 3, 3), 1.2), 1, None, "probabilities"),
        (np.full((2, 3, 3), -0.1), 1, None, "probabilities"),
        (np.zeros((2, 3, 3)), 1, [1.0], "each of 2 users"),
        (np.zeros((2, 3, 3)), 1, [0.0, 0.0], "one above 0"),
        (np.zeros((2, 3, 3)), 1, [-1.0, 2.0], "none negative"),
    ],
)
def test_what_makes_no_rate_is_refused(tables, k, weights, message):
    with pytest.raises(ValueError, match=message):
        win_rates_against_draws(tables, k, weights)


def test_rankings_are_the_limit_of_noise_that_vanishes():
    ranked = verdicts((0, 2, 1, 1, 0))
    nearly = np.clip(ranked, 1e-12, 1 - 1e-12)
    np.testing.assert_allclose(win_rates_against_draws(nearly, 3), win_rates_against_draws(ranked, 3), atol=1e-9)


def test_certain_and_uncertain_verdicts_of_one_answer_go_together():
    """1 against the certain, 3/4 and 1/4 against two others: 1 / (1 + 0 + 1/3 + 3); once beaten for sure, 0."""
    assert taken_from_draws(np.array([1.0, 0.75, 0.25]), 3) == pytest.approx(1 / (1 + 1 / 3 + 3))
    assert taken_from_draws(np.array([0.0, 0.75, 0.25]), 3) == 0.0
    assert taken_from_draws(np.array([0.0, 0.75, 0.25]), 1) == pytest.approx((0 + 0.75 + 0.25) / 3)


def test_too_many_subsets_are_sampled_and_the_rate_stays_a_mean_over_draws():
    """Of 30 others, all alike, every subset says the same; and a sample of them is near the mean of all."""
    assert taken_from_draws(np.full(30, 0.8), 10) == pytest.approx(1 / (1 + 10 / 4))
    p = np.linspace(0.6, 0.95, 30)
    odds = (1 - p) / p
    found = float(taken_from_draws(p, 10))
    assert found == float(taken_from_draws(p, 10))
    assert 1 / (1 + np.sort(odds)[-10:].sum()) < found < 1 / (1 + np.sort(odds)[:10].sum())


def test_missing_verdicts_are_left_out_where_enough_are_there():
    P = np.array([[1.0, np.nan, 0.0, 1.0], [np.nan, np.nan, np.nan, 1.0]])
    assert np.isnan(taken_from_draws(P, 2)).all()
    found = taken_from_draws(P, 2, missing_left_out=True)
    assert found[0] == pytest.approx(1 / 3)  # of the pairs of {won, lost, won} one is of two that were won
    assert np.isnan(found[1])
