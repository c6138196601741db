"""The rewards' policy gradient, averaged over every group there can be, is the regularised game's to rounding."""

import itertools

import numpy as np
import pytest

from comal.pipeline.step.online_rewards import online_rewards
from random_games import random_policy, random_table

TAU = 0.3


def mean_gradient(P, p, reference, K, rewards_of):
    """E [1/K sum_i (R_i - mean R) grad log p(y_i)] over the n^K groups of K answers of p; grad in the logits of p."""
    n = len(p)
    total = np.zeros(n)
    for group in itertools.product(range(n), repeat=K):
        y = np.array(group)
        table = P[np.ix_(y, y)]
        others = (table.sum(axis=1) - 0.5) / (K - 1)
        rewards = rewards_of(others, np.log(p)[y], np.log(reference)[y])
        score = np.eye(n)[y] - p
        total += p[y].prod() * ((rewards - rewards.mean()) @ score) / K
    return total


@pytest.mark.parametrize("K", [2, 3, 5])
def test_the_gradient_is_that_of_the_regularised_game_for_groups_of_any_size(K):
    P, p, reference = random_table(3, seed=5), random_policy(3, seed=6), random_policy(3, seed=7)
    f = P @ p - TAU * np.log(p / reference)
    exact = p * (f - p @ f)

    def ours(win_rate, logp, reference_logp):
        return online_rewards(win_rate[None], logp[None], reference_logp[None], TAU)[0]

    np.testing.assert_allclose(mean_gradient(P, p, reference, K, ours), exact, atol=1e-14)

    def uncorrected(win_rate, logp, reference_logp):
        return win_rate - TAU * (logp - reference_logp)

    assert np.abs(mean_gradient(P, p, reference, K, uncorrected) - exact).max() > 1e-3


def test_a_prompt_without_verdicts_has_no_rewards():
    rates = np.array([[0.5, 0.2, 0.8], [np.nan] * 3])
    rewards = online_rewards(rates, np.zeros((2, 3)), np.zeros((2, 3)), TAU)
    np.testing.assert_array_equal(rewards, rates)
