"""SLHF: its leader and follower against the authors' own algorithm, and what they are without regularisation."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr

from comal.algorithms.variants.slhf import SLHF
from comal.errors import ConfigError
from comal.games import PreferenceGame, Sampling, kl, named_game, run_sampled, solve
from comal.games.steps.stackelberg import follower
from random_games import games, random_policy, random_table
from walks import walk

seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=25)


def descend_ascend(P, reference, tau, follower_tau, steps=4000, rate=0.02, faster=5):
    """StackelbergGDA of the paper: gradient ascent of the leader, descent of the follower, `faster` times as far.

    On log-probabilities of softmax policies, which stay inside the simplex, so that nothing has to be projected.
    """
    n = len(P)
    leader, reply = np.log(reference), np.tile(np.log(reference), (n, 1))
    for _ in range(steps):
        pi, omega = np.exp(leader - np.logaddexp.reduce(leader)), np.exp(reply)
        omega /= omega.sum(axis=1, keepdims=True)
        excess = np.log(omega) - np.log(reference)
        worth = (omega * P).sum(axis=1) + follower_tau * (omega * excess).sum(axis=1)
        slope = worth - tau * (np.log(pi) - np.log(reference))
        # natural gradients: of a softmax policy the log-odds move by the payoffs
        leader = leader + rate * slope
        reply = np.log(omega) - faster * rate * (P + follower_tau * excess)
        reply -= np.logaddexp.reduce(reply, axis=1, keepdims=True)
    return np.exp(leader - np.logaddexp.reduce(leader)), np.exp(reply)


@pytest.mark.parametrize("seed", range(3))
def test_leader_and_follower_are_where_descent_and_ascent_end(seed):
    P, reference = random_table(4, seed), 0.5 * random_policy(4, seed) + 0.125
    leader, replies = descend_ascend(P, reference, 0.3, 0.4)
    found = solve(PreferenceGame(P), SLHF(1.0, 0.3, 0.4), gap=0.0, start=reference, max_products=200).policy
    np.testing.assert_allclose(found, leader, atol=1e-6)
    np.testing.assert_allclose(follower(P, reference, 0.4), replies, atol=1e-6)


@quick
@given(games(max_n=6), seeds, st.floats(0.05, 2.0), st.floats(0.02, 2.0), st.floats(0.1, 50.0))
def test_log_ratios_to_the_equilibrium_shrink_by_exactly_what_is_said(game, seed, tau, follower_tau, eta):
    """pi* ∝ ref · exp(v / tau), v by its definition: what is won against the best replies, with what their KL costs."""
    start = random_policy(game.n, seed)
    replies = follower(game.P, start, follower_tau)
    v = (replies * game.P).sum(axis=1) + follower_tau * rel_entr(replies, start).sum(axis=1)
    target = np.log(start) + v / tau
    target -= np.logaddexp.reduce(target)
    found = walk(game, SLHF(eta, tau, follower_tau), start, 4)
    for old, new in pairwise(found):
        left, before = new - target, old - target
        np.testing.assert_allclose(left - left.mean(), (before - before.mean()) / (1 + eta * tau), atol=1e-8)
    if game.n > 1:
        assert kl(target, found[-1]) <= kl(target, found[0]) + 1e-12


@pytest.mark.parametrize("seed", range(4))
def test_barely_regularised_the_leader_gives_the_answer_whose_strongest_rival_is_weakest(seed):
    P = random_table(5, seed)
    found = solve(PreferenceGame(P), SLHF(1e5, 1e-4, 1e-4), gap=0.0, max_products=50).policy
    assert found.argmax() == P.min(axis=1).argmax()
    assert found.max() > 0.99


def test_where_an_answer_beats_all_the_leader_gives_it_as_the_nash_policy_does():
    game = named_game("condorcet:n=5,margin=0.2,seed=1")
    assert solve(game, SLHF(1e5, 1e-4, 1e-4), gap=0.0, max_products=50).policy[0] > 0.99


def test_replies_go_round_a_cycle():
    """Each reply to a reply is the next answer of rock, paper, scissors: all are shown in three turns."""
    game = named_game("rock_paper_scissors:win=0.8")
    replies = follower(game.P, np.full(3, 1 / 3), 0.02)
    following = replies.argmax(axis=1)
    assert replies.max(axis=1).min() > 0.999
    assert sorted([0, following[0], following[following[0]]]) == [0, 1, 2]
    assert all(game.P[reply, answer] == 0.8 for answer, reply in enumerate(following))


@quick
@given(games(max_n=6), seeds, st.floats(0.02, 2.0))
def test_no_other_reply_does_better(game, seed, tau):
    """The follower's objective at its closed form against random other replies."""
    reference, rng = random_policy(game.n, seed), np.random.default_rng(seed)
    replies = follower(game.P, reference, tau)
    np.testing.assert_allclose(replies.sum(axis=1), 1)

    def cost(omega):
        return (omega * game.P).sum(axis=1) + tau * rel_entr(omega, reference).sum(axis=1)

    others = rng.dirichlet(np.ones(game.n), size=(20, game.n))
    assert (cost(replies) <= np.array([cost(other) for other in others]) + 1e-12).all()


def test_single_comparisons_cannot_tell_the_best_reply():
    with pytest.raises(ConfigError, match=r"how an answer fares against each other one.*take the game's table"):
        run_sampled(named_game("paper"), SLHF(1.0, 0.1, 0.1), Sampling(), 100, 1)


@pytest.mark.parametrize("name", ["eta", "tau", "follower_tau"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_options_that_make_no_sense(name, value):
    with pytest.raises(ValueError, match=f"need {name} > 0"):
        SLHF(**{"eta": 1.0, "tau": 0.1, "follower_tau": 0.1} | {name: value})
