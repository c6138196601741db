"""The regression of a forward KL: its minimiser is the exact step, whoever drew the samples."""

import itertools

import numpy as np
import pytest
import torch

from comal.games.steps.forward_kl import forward_kl_step
from comal.judges.asking.tables import win_rates
from comal.losses.forward_kl import LARGEST, with_forward_kl
from comal.losses.group import Group
from random_games import random_policy, random_table
from softmax_minimum import minimise

ETA, FORWARD = 0.8, 0.4


@pytest.mark.parametrize("K", [2, 3])
def test_the_minimiser_over_all_tuples_of_the_policys_samples_is_the_exact_step(K):
    """With win rates of the samples among themselves, as in self-play; the expectation is over all K-tuples."""
    P, policy, reference = random_table(3, 4), random_policy(3, 5), 0.5 * random_policy(3, 6) + 1 / 6
    tuples = np.array(list(itertools.product(range(3), repeat=K)))
    probability = torch.tensor(policy[tuples].prod(axis=1))
    samples = torch.tensor(tuples)
    rates = torch.tensor(np.stack([win_rates(P[np.ix_(row, row)]) for row in tuples]))
    anchor, covered, zero = torch.tensor(np.log(policy)), torch.tensor(np.log(reference)), torch.zeros(samples.shape)

    def loss(logp):
        fitted = with_forward_kl(logp, covered, FORWARD)
        return (probability * Group()(fitted[samples], anchor[samples], rates, ETA, zero)).sum()

    exact = forward_kl_step(np.log(policy)[None], ETA * (P @ policy)[None], np.log(reference)[None], FORWARD)
    np.testing.assert_allclose(minimise(loss, 3), np.exp(exact[0]), atol=1e-5)


def test_it_is_straight_where_the_covered_policy_is_all_but_lost():
    """Below and at x = 30 it is log pi - x; beyond, its tangent, so that a gradient is 31 at most."""
    logp = torch.linspace(-40, 0, 401, dtype=torch.float64, requires_grad=True)
    covered = torch.zeros(401, dtype=torch.float64)
    value = with_forward_kl(logp, covered, FORWARD)
    (slope,) = torch.autograd.grad(value.sum(), logp)
    x = FORWARD * np.exp(-logp.detach().numpy())
    near = x <= LARGEST
    np.testing.assert_allclose(value.detach().numpy()[near], logp.detach().numpy()[near] - x[near], rtol=1e-12)
    np.testing.assert_allclose(slope.numpy(), 1 + np.minimum(x, LARGEST), rtol=1e-12)
    assert torch.isfinite(value).all()
    assert (value.diff() > 0).all()


def test_single_precision_is_enough_far_away():
    value = with_forward_kl(torch.tensor([-300.0, -1.0]), torch.tensor([-2.0, -2.0]), 0.1)
    assert torch.isfinite(value).all()
