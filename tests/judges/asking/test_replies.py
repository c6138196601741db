"""What an answer wins against the best reply to it, from judged replies."""

import numpy as np
import pytest

from comal.games.steps.stackelberg import worth_against_replies
from comal.judges.asking.tables import rates_against_replies
from random_games import random_policy, random_table

NAN = float("nan")


def test_over_all_replies_in_their_shares_it_is_the_exact_worth() -> None:
    """Ten replies in the shares (.5, .3, .2) are a sample without noise."""
    P, reference = random_table(3, 1), np.array([0.5, 0.3, 0.2])
    replies = np.repeat([0, 1, 2], [5, 3, 2])
    found = rates_against_replies(P[:, replies], 0.2)
    np.testing.assert_allclose(found, worth_against_replies(P, np.log(reference), 0.2), rtol=1e-12)


def test_it_lies_between_the_worst_verdict_and_their_mean() -> None:
    table = np.array([[0.9, 0.1, 0.5]])
    assert rates_against_replies(table, 1e-4)[0] == pytest.approx(0.1, abs=1e-3)
    assert rates_against_replies(table, 1e4)[0] == pytest.approx(0.5, abs=1e-3)
    by_hand = -0.5 * np.log(np.mean(np.exp([-1.8, -0.2, -1.0])))
    assert rates_against_replies(table, 0.5)[0] == pytest.approx(by_hand, rel=1e-12)


def test_replies_without_a_verdict_do_not_count_and_answers_without_any_have_none() -> None:
    found = rates_against_replies(np.array([[0.2, NAN, 0.6], [NAN, NAN, NAN]]), 0.3)
    assert found[0] == pytest.approx(rates_against_replies(np.array([[0.2, 0.6]]), 0.3)[0])
    assert np.isnan(found[1])


def test_few_replies_make_it_high_by_what_is_said() -> None:
    """Over all pairs of replies: tau / 2 times the relative variance of the mean, to second order."""
    P, q, tau = random_table(4, 2), random_policy(4, 3), 2.0
    pairs = [(i, j) for i in range(4) for j in range(4)]
    expected = sum(q[i] * q[j] * rates_against_replies(P[:, [i, j]], tau) for i, j in pairs)
    terms = np.exp(-P / tau)
    relative_variance = ((terms**2) @ q - (terms @ q) ** 2) / (terms @ q) ** 2 / 2
    off = expected - worth_against_replies(P, np.log(q), tau)
    np.testing.assert_allclose(off, tau / 2 * relative_variance, rtol=0.1)
    assert (off > 0).all()
