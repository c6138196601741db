"""SPPO's step against a general-purpose minimiser of the loss it is defined by."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from comal.games.steps.fixed_partition import fixed_partition_step
from random_games import random_policy, random_table

seeds = st.integers(0, 2**32 - 1)


def advantage_of(n, seed, eta):
    p = random_policy(n, seed)
    return p, eta * (random_table(n, seed + 1) @ p - 0.5)


@settings(max_examples=30)
@given(st.integers(2, 6), seeds, st.floats(0.05, 5))
def test_it_minimises_the_published_loss(n, seed, eta):
    p, a = advantage_of(n, seed, eta)

    def loss(logits):
        log_pi = logits - np.logaddexp.reduce(logits)
        return p @ (log_pi - np.log(p) - a) ** 2

    ours = fixed_partition_step(np.log(p)[None], a[None])[0]
    best = minimize(loss, np.log(p), method="BFGS", options={"gtol": 1e-9})
    assert loss(ours) <= best.fun + 1e-12


@settings(max_examples=50)
@given(st.integers(1, 20), seeds, st.sampled_from([1e-8, 1e-3, 1.0, 30.0, 1000.0]))
def test_its_residual_is_stationary(n, seed, eta):
    """anchor · (log pi / anchor − a) ∝ pi, for steps from tiny to the paper's eta of 1,000."""
    p, a = advantage_of(n, seed, eta)
    log_pi = fixed_partition_step(np.log(p)[None], a[None])[0]
    pull = p * (log_pi - np.log(p) - a)
    np.testing.assert_allclose(pull, pull.sum() * np.exp(log_pi), atol=1e-9 * max(1.0, eta))


def test_answers_without_mass_stay_without():
    with np.errstate(divide="ignore"):
        anchor = np.log(np.array([[0.5, 0.5, 0.0]]))
    pi = np.exp(fixed_partition_step(anchor, np.array([[0.1, -0.1, 5.0]])))[0]
    assert pi[2] == 0
    assert pi[0] > pi[1]
    assert pi.sum() == pytest.approx(1)
