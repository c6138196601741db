"""Replies to an answer that is seen: the follower of a Stackelberg game; see `comal.algorithms.variants.slhf`."""

from __future__ import annotations

import numpy as np

from comal.games.game import Floats
from comal.games.measures import log_normalise


def follower(P: Floats, reference: Floats, tau: float) -> Floats:
    """The best replies to each answer under a KL to the reference: omega(y' | y) ∝ reference(y') exp(P(y' > y) / tau).

    Args:
        P: preferences, (..., n, n).
        reference: a policy, (..., n).
        tau: weight of the KL, above 0.

    Returns:
        (..., n, n), a row for each answer that is replied to.
    """
    with np.errstate(divide="ignore"):
        log_reference = np.log(reference)[..., None, :]
    return np.exp(log_normalise(log_reference + np.swapaxes(P, -1, -2) / tau))


def worth_against_replies(P: Floats, log_reference: Floats, tau: float) -> Floats:
    """What every answer wins against its best replies, with what their KL costs: a soft minimum of its row, (..., n).

    v(y) = -tau log E_{y' ~ reference} exp(-P(y > y') / tau), between the least of the row and its mean.

    Args:
        P: preferences, (..., n, n).
        log_reference: of the policy that replies stay near, (..., n).
        tau: weight of the KL, above 0.
    """
    exponent = log_reference[..., None, :] - P / tau
    peak = exponent.max(axis=-1, keepdims=True)
    worth: Floats = -tau * (peak[..., 0] + np.log(np.exp(exponent - peak).sum(axis=-1)))
    return worth
