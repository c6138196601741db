"""What a step moved, on policies whose samples are all of their answers, once each."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, rel_entr

from comal.algorithms.base import ForwardKLStep, Mix, ProxStep, against
from comal.games.steps.forward_kl import forward_kl_step
from comal.pipeline.step.movement import measure_movement
from comal.pipeline.step.targets import Targets

UNIFORM = np.full((2, 4), -np.log(4))
ETA = 1.5


def targets(seed: int = 0) -> Targets:
    """Two prompts with four answers each, drawn from a uniform policy; the reference is another one."""
    rng = np.random.default_rng(seed)
    reference = log_softmax(rng.normal(size=(2, 4)), axis=1)
    return Targets(UNIFORM, UNIFORM, {"reference": reference, "policy": UNIFORM}, rng.random((2, 4)))


STEP = ProxStep(Mix({"reference": 0.25, "policy": 0.75}), against("policy"), ETA)


def test_the_exact_prox_step_has_slope_one_and_half_of_the_way_a_half() -> None:
    asked = targets()
    every = np.arange(2)
    logits = asked.anchor_logp(STEP.anchor) + ETA * asked.win_rate
    whole = measure_movement(asked, STEP, every, log_softmax(logits, axis=1))
    half = measure_movement(asked, STEP, every, log_softmax((logits + UNIFORM) / 2, axis=1))
    assert whole.slope == pytest.approx(1)
    assert half.slope == pytest.approx(0.5)


def test_under_a_forward_kl_the_exact_step_has_slope_one_too() -> None:
    asked = targets()
    step = ForwardKLStep(STEP.anchor, against("policy"), ETA, forward=0.4)
    new = forward_kl_step(
        asked.anchor_logp(step.anchor), ETA * asked.win_rate, asked.role_logp["reference"], step.forward
    )
    assert measure_movement(asked, step, np.arange(2), new).slope == pytest.approx(1)
    assert measure_movement(asked, STEP, np.arange(2), new).slope != pytest.approx(1, abs=0.01)


def test_divergences_are_those_of_the_policies() -> None:
    asked = targets()
    new = log_softmax(np.random.default_rng(1).normal(size=(2, 4)), axis=1)
    moved = measure_movement(asked, STEP, np.arange(2), new)
    assert moved.kl_moved == pytest.approx(rel_entr(np.exp(new), np.exp(UNIFORM)).sum(axis=1).mean())
    expected = rel_entr(np.exp(UNIFORM), np.exp(asked.role_logp["reference"])).sum(axis=1).mean()
    assert moved.kl_reference == pytest.approx(expected)


def test_what_nothing_says_is_none() -> None:
    asked = targets()
    none = np.arange(0)
    unheld = measure_movement(asked, STEP, none, np.zeros((0, 4)))
    assert (unheld.kl_moved, unheld.slope) == (None, None)
    assert unheld.kl_reference is not None
    flat = Targets(UNIFORM, UNIFORM, {"policy": UNIFORM}, np.full((2, 4), 0.3))
    still = measure_movement(flat, ProxStep(Mix({"policy": 1.0}), against("policy"), ETA), np.arange(2), UNIFORM)
    assert (still.kl_moved, still.kl_reference, still.slope) == (0.0, None, None)
