"""RSPO: where it rests, by the objectives themselves, and the rate that its file derives."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, root

from comal.algorithms.base import ForwardKLStep, ProxStep
from comal.algorithms.mpo import MPO
from comal.algorithms.variants.rspo import RSPO
from comal.games import ExactBackend, PreferenceGame, kl, named_game, solve
from random_games import games, random_policy, random_table
from walks import walk

PAPER, START = named_game("paper"), np.array([0.2, 0.5, 0.3])
seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=25)


def nash(game, reference, reverse, forward):
    """The symmetric equilibrium where both pay both divergences: stationarity in log p, by SciPy's Powell method."""

    def residual(x, weight):
        p = np.exp(x - np.logaddexp.reduce(x))
        slope = weight * (game.A @ p) - reverse * (np.log(p) - np.log(reference)) + forward * reference / p
        return np.append((slope - slope.mean())[:-1], x.sum())

    x = np.log(reference) - np.log(reference).mean()
    for weight in np.linspace(0, 1, 11):
        x = root(residual, x, args=(weight,), tol=1e-13).x
    assert np.abs(residual(x, 1.0)).max() < 1e-9
    return x - np.logaddexp.reduce(x)


@quick
@given(games(max_n=6), seeds, st.sampled_from([(0.2, 0.0), (0.1, 0.1), (0.0, 0.3), (0.0, 2.0)]), st.floats(0.1, 1.0))
def test_it_comes_nearer_at_the_promised_rate(game, seed, weights, share):
    """(1 + eta sigma) KL(pi* || new) ≤ KL(pi* || old), sigma = reverse + forward min ref, for eta ≤ 4 sigma."""
    reverse, forward = weights
    start = 0.5 * random_policy(game.n, seed) + 0.5 / game.n
    sigma = reverse + forward * start.min()
    eta = 4 * sigma * share
    target = nash(game, start, reverse, forward)
    found = walk(game, RSPO(eta, reverse, forward), start, 60)
    for old, new in pairwise(found):
        assert (1 + eta * sigma) * kl(target, new) <= kl(target, old) + 1e-10


@pytest.mark.parametrize(("reverse", "forward"), [(0.1, 0.1), (0.0, 0.3)])
def test_nobody_gains_by_leaving_its_rest_point(reverse, forward):
    """The best response to it, by minimising the player's whole objective over logits, is itself."""
    rest = np.exp(walk(PAPER, RSPO(0.3, reverse, forward), START, 1500)[-1])

    def loss(x):
        p = np.exp(x - np.logaddexp.reduce(x))
        both = reverse * (p * np.log(p / START)).sum() + forward * (START * np.log(START / p)).sum()
        return both - p @ PAPER.P @ rest

    best = minimize(loss, np.log(START), method="BFGS", options={"gtol": 1e-10}).x
    np.testing.assert_allclose(np.exp(best - np.logaddexp.reduce(best)), rest, atol=1e-5)


def test_without_the_forward_kl_it_is_magnetic_mirror_descent():
    game, start = PreferenceGame(random_table(4, 1)), random_policy(4, 2)
    ours = walk(game, RSPO(0.7, 0.2, 0.0), start, 8)
    theirs = walk(game, MPO(0.7, 0.2, period=10**9), start, 8)
    np.testing.assert_allclose(ours, theirs, atol=1e-14)


def test_the_forward_kl_keeps_what_the_reverse_one_gives_up():
    """An answer loses to all by .98; at equal weights the forward KL alone leaves it many times the probability."""
    P = np.array([[0.5, 0.6, 0.98], [0.4, 0.5, 0.98], [0.02, 0.02, 0.5]])
    game = PreferenceGame(P)
    left = [
        solve(game, RSPO(0.05, *weights), gap=0.0, max_products=4000).policy[2] for weights in ((0.1, 0.0), (0.0, 0.1))
    ]
    assert left[0] < 0.01
    assert left[1] > 5 * left[0]


def test_its_step_tends_to_the_authors_gradient():
    """For a short step log pi moves by eta (w - reverse (log pi/ref) + forward ref/pi), constants aside: their loss's.

    Its gradient at pi = pi_k on samples of pi_k is E[grad log pi · (-2 eta (w - 1/2) + 4 lambda_r log pi/ref - 2
    lambda_f ref/pi)], with eta reverse = 2 lambda_r and eta forward = lambda_f as the file says.
    """
    P, policy, reference, eta = random_table(5, 3), random_policy(5, 4), random_policy(5, 5), 1e-5
    reverse, forward = 0.3, 0.2
    backend = ExactBackend(PreferenceGame(P), policy)
    backend._roles["reference"].log_p = np.log(reference)[None]
    backend.execute(0, next(RSPO(eta, reverse, forward).program()))
    moved = (backend.log_policy()[0] - np.log(policy)) / eta
    lambda_r, lambda_f = eta * reverse / 2, eta * forward
    penalties = 4 * lambda_r * np.log(policy / reference) - 2 * lambda_f * reference / policy
    expected = (P @ policy - 0.5) - penalties / (2 * eta)
    np.testing.assert_allclose(moved - policy @ moved, expected - policy @ expected, rtol=2e-3, atol=1e-4)


def test_the_step_says_which_policy_is_covered():
    step = next(RSPO(2.0, 0.5, 0.25).program())
    assert isinstance(step, ForwardKLStep)
    assert (step.covered, step.forward, step.eta) == ("reference", 0.25, 1.0)
    assert step.scored == ("reference", "policy")
    assert next(RSPO(2.0, 0.0, 0.25).program()).scored == ("policy", "reference")
    assert type(next(RSPO(2.0, 0.5, 0.0).program())) is ProxStep


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((0, 0), "need reverse_tau or forward_tau above 0"),
        ((-1, 1), "need reverse_tau ≥ 0, got -1"),
        ((1, float("nan")), "need forward_tau ≥ 0, got nan"),
        ((float("inf"), 1), "need reverse_tau ≥ 0, got inf"),
    ],
)
def test_options_that_make_no_sense(weights, message):
    with pytest.raises(ValueError, match=message):
        RSPO(1.0, *weights)
