"""The exact minimiser of SPPO's population loss; see `comal.algorithms.base.FixedPartitionStep`.

With rho = pi / anchor and a = eta (w − 1/2), stationarity over normalised policies reads

    log rho(y) + kappa · rho(y) = a(y),     E_{y ~ anchor} rho(y) = 1,     kappa = E_{y ~ anchor}(a(y) − log rho(y)).

For a given kappa ≥ 0, kappa · rho = omega(log kappa + a) with Wright's omega function, and E rho falls as kappa rises:
there is one root.
"""

from __future__ import annotations

import numpy as np

from comal.games.game import Floats
from comal.games.measures import log_normalise

_BISECTIONS = 200  # a bound; Newton's steps take over after a few
_ROUNDING = 2e-15


def fixed_partition_step(log_anchor: Floats, advantage: Floats) -> Floats:
    """Log pi of the minimiser, (B, n), for advantage a = eta (w − 1/2), (B, n)."""
    advantage = np.where(np.isfinite(log_anchor), advantage, 0.0)
    log_kappa = _log_kappa(log_anchor, advantage)
    return log_normalise(log_anchor + _log_ratio(log_kappa, advantage))


def _log_ratio(log_kappa: Floats, advantage: Floats) -> Floats:
    """Log rho for each kappa, (B, n)."""
    from scipy.special import wrightomega  # not at the top: games load fast

    result: Floats = advantage - wrightomega(log_kappa[:, None] + advantage)
    return result


def _log_kappa(log_anchor: Floats, advantage: Floats) -> Floats:
    """The root of log E rho = 0 in log kappa, by Newton's method inside a shrinking bracket, (B,).

    At the root some rho ≥ 1, so kappa ≤ max a. Where E_anchor e^a ≤ 1 to rounding (a constant, as in all ties), rho = 1
    and kappa is 0.
    """
    high = np.log(np.maximum(advantage.max(axis=1), 1e-300))
    low = np.full_like(high, np.log(1e-300))
    # rho ≈ exp(a − kappa) for small steps, so kappa ≈ log E e^a
    peak = advantage.max(axis=1, keepdims=True)
    mean = peak[:, 0] + np.log(np.exp(log_anchor + advantage - peak).sum(axis=1))
    log_kappa: Floats = np.minimum(np.log(np.maximum(mean, 1e-300)), high)
    for _ in range(_BISECTIONS):
        log_ratio = _log_ratio(log_kappa, advantage)
        weight = np.exp(log_anchor + log_ratio)
        excess = np.log(weight.sum(axis=1))
        low, high = np.where(excess > 0, log_kappa, low), np.where(excess > 0, high, log_kappa)
        share = advantage - log_ratio  # kappa · rho
        slope = -(weight * (share / (1 + share))).sum(axis=1) / weight.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            newton = log_kappa - excess / slope
        inside = (newton > low) & (newton < high)
        following = np.where(inside, newton, (low + high) / 2)
        if np.all((np.abs(excess) <= _ROUNDING) | (np.abs(following - log_kappa) <= _ROUNDING)):
            break
        log_kappa = following
    return log_kappa
