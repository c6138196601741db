"""Steps that a number of judged pairs pays for; expected numbers are worked out by hand for 8 prompts of 4 answers."""

from __future__ import annotations

import pytest

from comal.algorithms.comal import COMAL
from comal.algorithms.egpo import EGPO
from comal.algorithms.inpo import INPO
from comal.algorithms.nash_md import NashMD
from comal.algorithms.omwu import OMWU
from comal.errors import ConfigError
from comal.pipeline.cost.walk import StepsCost, cost_of_steps, steps_within
from comal.recipes.settings import SamplingSettings

SAMPLING = SamplingSettings(prompts=8, samples=4)
AMONG, AGAINST = 8 * 6, 8 * 16  # pairs of a step: among a prompt's 4 answers, and of these with 4 others
INNER = INPO(1.0, 0.1)


@pytest.mark.parametrize("rule", [INNER, NashMD(1.0, 0.1), EGPO(1.0, 0.1), COMAL(inner=INNER, inner_steps=2)])
def test_a_step_against_its_own_samples_takes_all_pairs_of_them(rule) -> None:
    """EGPO's rounds are of two such steps, so the same number of pairs pays for half as many of them."""
    assert cost_of_steps(rule, SAMPLING, 6) == StepsCost(6, 6 * AMONG, 6 * 32)


def test_a_second_opponent_is_judged_and_sampled_too() -> None:
    """OMWU's last policy is the present one at its first step, so that both opponents are the sampler."""
    assert cost_of_steps(OMWU(1.0), SAMPLING, 1) == StepsCost(1, 2 * AMONG, 32)
    assert cost_of_steps(OMWU(1.0), SAMPLING, 3) == StepsCost(3, 2 * AMONG + 2 * (AMONG + AGAINST), 32 + 2 * 64)


def test_certificates_are_paid_for() -> None:
    """One between two steps; none after the last, where the run ends."""
    rule = COMAL(inner=INNER, update="copy")
    assert cost_of_steps(rule, SAMPLING, 3) == StepsCost(3, 3 * AMONG + 2 * AGAINST, 3 * 32 + 2 * 64)


def test_fewer_comparisons_a_step() -> None:
    """Each of 4 answers meets 2 others: 4 pairs a prompt instead of 6."""
    assert cost_of_steps(INNER, SamplingSettings(prompts=8, samples=4, comparisons=2), 5).pairs == 5 * 8 * 4


@pytest.mark.parametrize("rule", [INNER, OMWU(1.0), COMAL(inner=INNER, update="copy"), EGPO(1.0, 0.1)])
@pytest.mark.parametrize("pairs", [10 * AMONG, 10 * AMONG + 1, 1000])
def test_the_most_steps_within_the_pairs(rule, pairs: int) -> None:
    within = steps_within(rule, SAMPLING, pairs, "method")
    assert within.pairs <= pairs < cost_of_steps(rule, SAMPLING, within.steps + 1).pairs
    assert within == cost_of_steps(rule, SAMPLING, within.steps)


def test_too_few_pairs_for_one_step() -> None:
    with pytest.raises(ConfigError, match="method: one proximal step takes more than the 47 pairs"):
        steps_within(INNER, SAMPLING, AMONG - 1, "method")
