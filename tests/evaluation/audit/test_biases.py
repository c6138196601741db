"""Position, length and self-consistency, by numbers worked out by hand."""

import numpy as np
import pytest
from scipy import optimize, special

from comal.evaluation.audit.length import length_bias
from comal.evaluation.audit.quality.consistency import self_consistency
from comal.evaluation.audit.quality.position import position_bias
from comal.evaluation.audit.verdicts import Row
from drawn_verdicts import verdicts

NAN = float("nan")


def test_flips_and_preference_for_the_first():
    """Prompt 0: .9 forth, .8 back: each time the first wins, so it flips; (.9 + .8)/2 = .85.
    Prompt 1: .9 forth, .2 back, no flip, .55. Prompt 2 was judged in one order only."""
    rows = [Row(0, 0, 1, 0.9), Row(0, 1, 0, 0.8), Row(1, 0, 1, 0.9), Row(1, 1, 0, 0.2), Row(2, 0, 1, 1.0)]
    found = position_bias(verdicts(rows, 2, 3))
    assert found.pairs == 2
    assert found.flip_rate.mean == 0.5
    assert found.first.mean == pytest.approx((0.85 + 0.55) / 2)


def test_a_tie_in_one_order_is_no_flip():
    assert position_bias(verdicts([Row(0, 0, 1, 1.0), Row(0, 1, 0, 0.5)], 2, 1)).flip_rate.mean == 0


def test_one_order_says_nothing_of_position():
    assert position_bias(verdicts([Row(0, 0, 1, 1.0)], 2, 1)) is None


def test_consistency_is_the_share_of_agreeing_repeats():
    """First, first, second: one of three pairs agrees. Prompt 1: both ties. Their mean is 2/3."""
    values = [(0, 0.9), (0, 0.7), (0, 0.2), (1, 0.5), (1, 0.5), (2, 1.0)]
    rows = [Row(x, 0, 1, p, repeat=k) for k, (x, p) in enumerate(values)]
    found = self_consistency(verdicts([*rows, Row(2, 0, 1, NAN, repeat=9)], 2, 3))
    assert found.questions == 2
    assert found.agreement.mean == pytest.approx((1 / 3 + 1) / 2)
    assert self_consistency(verdicts([Row(0, 0, 1, 1.0), Row(0, 1, 0, 1.0)], 2, 1)) is None


def test_the_longer_answer_wins_in_two_of_three():
    """Lengths (10, 20), (20, 10), (10, 30), (7, 7): the longer wins with 1, 0 and 1; equal ones do not count."""
    rows = [Row(0, 0, 1, 0.0), Row(1, 0, 1, 0.0), Row(2, 1, 0, 1.0), Row(3, 0, 1, 1.0)]
    found = length_bias(verdicts(rows, 2, 4, named=False, lengths=[(10, 20), (20, 10), (10, 30), (7, 7)]))
    assert found.pairs == 3
    assert found.longer.mean == pytest.approx(2 / 3)
    assert not found.adjusted
    assert length_bias(verdicts(rows, 2, 4)) is None


def simulated(beta, seed=0, prompts=400):
    """Three systems with lengths and strengths of their own, and a judge with a taste for length."""
    rng = np.random.default_rng(seed)
    lengths = np.exp(rng.normal([3.0, 4.0, 5.0], 0.7, size=(prompts, 3)))
    strength = np.array([0.0, 0.5, 1.0])
    rows = []
    for x in range(prompts):
        for i, j in ((0, 1), (0, 2), (1, 2)):
            lead = strength[i] - strength[j] + beta * np.log2(lengths[x, i] / lengths[x, j])
            rows.append(Row(x, i, j, float(rng.random() < special.expit(lead))))
    return verdicts(rows, 3, prompts, lengths=lengths)


def test_the_coefficient_is_the_maximum_of_the_likelihood():
    found, sample = length_bias(simulated(0.4)), simulated(0.4)
    tables, lengths = sample.tables(), np.log2(sample.lengths)

    def loss(parameters):
        beta, strength = parameters[0], np.array([*parameters[1:], 0.0])
        value = 0.0
        for i, j in ((0, 1), (0, 2), (1, 2)):
            lead = strength[i] - strength[j] + beta * (lengths[:, i] - lengths[:, j])
            y = tables[:, i, j]
            value -= (y * special.log_expit(lead) + (1 - y) * special.log_expit(-lead)).sum()
        return value

    best = optimize.minimize(loss, np.zeros(3), tol=1e-10).x
    assert found.per_doubling.mean == pytest.approx(best[0], abs=1e-4)
    assert found.adjusted


def test_length_is_told_from_the_systems_it_goes_with():
    """Without a taste for length the longer systems still win more often; the coefficient sees through that."""
    covered = 0
    for seed in range(20):
        found = length_bias(simulated(0.0, seed, prompts=150))
        assert found.longer.low > 0.5
        covered += found.per_doubling.low <= 0 <= found.per_doubling.high
    assert covered >= 16  # of 20 at 95%, fewer than 16 happens once in 3,000


def test_swapping_answers_turns_nothing():
    sample = simulated(0.4, prompts=60)
    turned = verdicts([Row(r.prompt, r.second, r.first, 1 - r.probability) for r in sample.rows], 3, 60,
                      lengths=sample.lengths)  # fmt: skip
    assert length_bias(sample) == length_bias(turned)


def test_a_judge_that_only_looks_at_length_has_no_finite_coefficient():
    rows = [Row(x, 0, 1, float(x % 2)) for x in range(20)]
    lengths = [(20, 10) if x % 2 else (10, 20) for x in range(20)]
    found = length_bias(verdicts(rows, 2, 20, named=False, lengths=lengths))
    assert found.longer.mean == 1
    assert found.per_doubling is None
