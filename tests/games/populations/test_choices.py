"""How often users take an answer out of several: against enumeration, and what every population's rates keep."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comal.games.payoffs import payoffs_of
from comal.games.populations import PopulationGame
from random_games import random_policy
from random_populations import populations, random_population


def enumerated(game, p, k):
    """w_k of every answer by going through all n^k profiles of the opponent's answers, and all users."""
    rates = np.zeros(game.n)
    for y in range(game.n):
        for profile in itertools.product(range(game.n), repeat=k):
            chance = math.prod(p[other] for other in profile)
            for utilities, weight, temperature in zip(game.utilities, game.weights, game.temperature, strict=True):
                shown = utilities[[y, *profile]]
                if temperature > 0:
                    strengths = np.exp(shown / temperature)
                    share = strengths[0] / strengths.sum()
                else:
                    share = (shown[0] == shown.max()) / (shown == shown.max()).sum()
                rates[y] += chance * weight * share
    return rates


@settings(max_examples=25, deadline=None)
@given(populations(max_users=3, max_n=4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_the_rates_are_those_of_all_profiles(game, k, seed):
    p = random_policy(game.n, seed)
    if seed % 3 == 0:  # answers that are never drawn have rates too
        p = np.where(np.arange(game.n) == seed % game.n, 1.0, 0.0)
    np.testing.assert_allclose(game.win_rates(p, k), enumerated(game, p, k), atol=1e-13)


def test_the_closed_form_of_one_user():
    """((F + p)^{k+1} − F^{k+1}) / ((k + 1) p), and F^k where p = 0."""
    p = np.array([0.2, 0.5, 0.0, 0.3])
    F = np.array([0.0, 0.2, 0.7, 0.7])
    game = PopulationGame(np.array([[0.0, 1.0, 2.0, 3.0]]))
    for k in (1, 2, 7, 64):
        with np.errstate(invalid="ignore"):
            quotient = ((F + p) ** (k + 1) - F ** (k + 1)) / ((k + 1) * p)
        np.testing.assert_allclose(game.win_rates(p, k), np.where(p > 0, quotient, F**k), rtol=1e-11, atol=1e-16)


@settings(max_examples=40)
@given(populations(), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_of_k_and_one_equals_each_is_taken_alike(game, k, seed):
    p = random_policy(game.n, seed)
    rates = game.win_rates(p, k)
    assert p @ rates == pytest.approx(1 / (k + 1), abs=1e-13)
    assert rates.min() >= -1e-15
    assert rates.max() <= 1 + 1e-12


@settings(max_examples=40)
@given(populations(), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_the_game_is_monotone_for_every_number_of_answers(game, k, seed):
    """(p − q) · (w(p) − w(q)) ≤ 0; population.py has the proof."""
    p, q = random_policy(game.n, seed), random_policy(game.n, seed + 1)
    product = (p - q) @ (game.win_rates(p, k) - game.win_rates(q, k))
    assert product <= 1e-14
    if k == 1:
        assert product == pytest.approx(0, abs=1e-13)


def test_for_two_answers_or_more_and_strict_rankings_it_is_strictly_monotone():
    """By how much is the proof's integral: for k = 2 the squared distance of G and H over H, worked out here.

    One user, two answers, p = (a, 1 − a), q = (b, 1 − b): G and H are linear below and above the first answer's place.
    ∫ (G − H)² dH = b (a − b)²/3 + (1 − b) (a − b)²/3 = (a − b)²/3.
    """
    game = PopulationGame(np.array([[0.0, 1.0]]))
    a, b = 0.7, 0.25
    p, q = np.array([a, 1 - a]), np.array([b, 1 - b])
    product = (p - q) @ (game.win_rates(p, 2) - game.win_rates(q, 2))
    assert product == pytest.approx(-((a - b) ** 2) / 3, abs=1e-14)


@settings(max_examples=20)
@given(populations(), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_slopes_are_the_rates_derivatives(game, k, seed):
    p = (random_policy(game.n, seed) + 1 / game.n) / 2
    payoffs = payoffs_of(game.showing(k))
    slopes, h = payoffs.slopes(p[None])[0], 1e-6
    for x in range(game.n):
        step = h * np.eye(game.n)[x]
        change = (payoffs.against((p + step)[None]) - payoffs.against((p - step)[None]))[0] / (2 * h)
        np.testing.assert_allclose(slopes[:, x], change, atol=1e-6)


def test_noise_that_vanishes_leaves_the_ranking_and_noise_that_drowns_leaves_chance():
    utilities, p = np.array([[0.0, 1.0, 2.0]]), np.array([0.2, 0.3, 0.5])
    strict = PopulationGame(utilities)
    np.testing.assert_allclose(
        PopulationGame(utilities, temperature=np.array([0.005])).win_rates(p, 3), strict.win_rates(p, 3), atol=1e-12
    )
    np.testing.assert_allclose(PopulationGame(utilities, temperature=np.array([1e9])).win_rates(p, 3), 1 / 4, atol=1e-8)


@settings(max_examples=25)
@given(populations(), st.integers(0, 2**32 - 1))
def test_one_answer_shown_is_the_pairwise_vote(game, seed):
    p = random_policy(game.n, seed)
    np.testing.assert_allclose(game.win_rates(p, 1), game.pairwise().P @ p, atol=1e-13)


def test_a_batch_has_the_rates_of_its_members():
    members = [random_population(4, 3, seed, ties=seed == 1, noisy=True) for seed in range(3)]
    batch = PopulationGame(*(np.stack([getattr(m, name) for m in members])
                             for name in ("utilities", "weights", "temperature")), answers_shown=3)  # fmt: skip
    policies = np.stack([random_policy(3, seed) for seed in range(3)])
    for i, member in enumerate(members):
        np.testing.assert_allclose(batch.win_rates(policies)[i], member.win_rates(policies[i], 3), atol=1e-14)
        np.testing.assert_allclose(batch.pairwise().P[i], member.pairwise().P, atol=1e-14)
    part = payoffs_of(batch).kept(np.array([True, False, True]))
    np.testing.assert_allclose(part.against(policies[[0, 2]]), payoffs_of(batch).against(policies)[[0, 2]])
