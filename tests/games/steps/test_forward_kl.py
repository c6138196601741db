"""The step under a forward KL satisfies what characterises it, however far apart its policies are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comal.games.measures import log_normalise
from comal.games.steps.forward_kl import forward_kl_step
from random_games import random_policy

seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=60)
@given(st.integers(1, 9), seeds, st.floats(1e-6, 1e3), st.floats(0, 40))
def test_the_step_is_stationary_and_normalised(n, seed, forward, spread):
    """log pi - forward · covered / pi - s is one number, and pi sums to 1."""
    rng = np.random.default_rng(seed)
    s = log_normalise(spread * rng.normal(size=(3, n)))
    payoff = spread * rng.random((3, n))
    covered = log_normalise(spread * rng.normal(size=(3, n)))
    log_p = forward_kl_step(s, payoff, covered, forward)
    np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1, atol=1e-12)
    constant = log_p - forward * np.exp(covered - log_p) - s - payoff
    np.testing.assert_allclose(constant - constant[:, :1], 0, atol=1e-9 * (1 + spread + forward))


def test_a_light_weight_is_the_plain_step_and_a_heavy_one_the_covered_policy():
    anchor, payoff, covered = (np.log(random_policy(5, seed))[None] for seed in (1, 2, 3))
    np.testing.assert_allclose(
        forward_kl_step(anchor, payoff, covered, 1e-12), log_normalise(anchor + payoff), atol=1e-9
    )
    np.testing.assert_allclose(forward_kl_step(anchor, payoff, covered, 1e9), covered, atol=1e-6)


def test_two_answers_by_hand():
    """Anchor and covered policy even, payoffs (1, 0), weight 1: with p = .5 + d, logit p - 1/(2p) + 1/(2(1-p)) = 1."""
    half = np.log([[0.5, 0.5]])
    p = np.exp(forward_kl_step(half, np.array([[1.0, 0.0]]), half, 1.0))[0, 0]
    assert np.log(p / (1 - p)) - 0.5 / p + 0.5 / (1 - p) == pytest.approx(1, abs=1e-12)
    assert 0.5 < p < 1 / (1 + np.exp(-1))


def test_an_answer_that_the_anchor_lacks_stays_away_without_a_warning():
    with np.errstate(divide="ignore"):
        anchor = np.log([[0.5, 0.5, 0.0]])
    covered = np.log([[0.3, 0.3, 0.4]])
    found = np.exp(forward_kl_step(anchor, np.zeros((1, 3)), covered, 0.5))
    np.testing.assert_allclose(found, [[0.5, 0.5, 0.0]], atol=1e-12)
