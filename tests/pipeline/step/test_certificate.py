"""The sampled certificate on policies whose samples are all of their answers, once each: no sampling error is left."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from comal.pipeline.step.certificate import sampled_certificate

UNIFORM = np.full((3, 5), -np.log(5))


def test_it_is_the_divergence_from_the_best_response() -> None:
    """p = ref = uniform, so BR ∝ exp(w / tau), and a shift of w by 1/2 cancels."""
    win_rate, tau = np.random.default_rng(0).random((3, 5)), 0.2
    found = sampled_certificate(UNIFORM, UNIFORM, win_rate, tau)
    response = softmax(win_rate / tau, axis=1)
    # The certificate has E_p (P(y > p) − 1/2) = 0 built in, which holds where p is its own opponent.
    missing = ((win_rate - 0.5) / tau).mean(axis=1)
    each = rel_entr(np.full((3, 5), 0.2), response).sum(axis=1) + missing
    assert found.kl_best_response == pytest.approx(each.mean())
    assert found.stderr == pytest.approx(each.std(ddof=1) / np.sqrt(3))
    assert found.kl_reference == 0


def test_a_solved_game_is_certified_and_one_prompt_has_no_error() -> None:
    solved = sampled_certificate(UNIFORM[:1], UNIFORM[:1], np.full((1, 5), 0.5), 1e-3)
    assert (solved.kl_reference, solved.kl_best_response, solved.stderr) == (0, 0, None)


def test_a_small_tau_does_not_overflow() -> None:
    win_rate = np.array([[1.0, 0.0, 0.5, 0.5, 0.5]])
    found = sampled_certificate(UNIFORM[:1], UNIFORM[:1], win_rate, 1e-4)
    assert found.kl_best_response == pytest.approx(0.5 / 1e-4 - np.log(5))
