"""The exact step under a forward KL; see `comal.algorithms.base.ForwardKLStep`.

With x = forward · covered / pi, what the maximiser satisfies reads

    x(y) + log x(y) = log forward + log covered(y) - s(y) + c,      s = log anchor + eta w,

so x = omega(…) with Wright's omega function, log pi = s - c + x, and c is the one number for which pi sums to 1: pi
falls as c rises. It is at least log sum exp s, where x = 0 everywhere, and at most that + forward, since stationarity
averaged over pi says c = forward + E_pi[s - log pi].
"""

from __future__ import annotations

import numpy as np

from comal.games.game import Floats
from comal.games.measures import log_normalise

_BISECTIONS = 200  # a bound; Newton's steps take over after a few
_ROUNDING = 2e-15


def forward_kl_step(log_anchor: Floats, payoff: Floats, log_covered: Floats, forward: float) -> Floats:
    """Log pi of the maximiser, (B, n).

    Args:
        log_anchor: (B, n), need not be normalised; -inf where the anchor has nothing, and pi will have nothing.
        payoff: eta w, (B, n).
        log_covered: of the policy that the forward KL covers, (B, n).
        forward: weight of the forward KL, above 0.
    """
    from scipy.special import wrightomega  # not at the top: games load fast

    s = log_anchor + np.where(np.isfinite(log_anchor), payoff, 0.0)
    gone = np.isneginf(s)
    log_weight = np.where(gone, -np.inf, np.log(forward) + log_covered)
    s = np.where(gone, 0.0, s)

    def at(c: Floats) -> tuple[Floats, Floats]:
        """Log pi, not normalised, and x."""
        x = np.where(gone, 0.0, wrightomega(np.where(gone, -np.inf, log_weight - s) + c[:, None]))
        return np.where(gone, -np.inf, s - c[:, None] + x), x

    peak = np.where(gone, -np.inf, s).max(axis=1)
    low = peak + np.log(np.exp(np.where(gone, -np.inf, s) - peak[:, None]).sum(axis=1))
    high = low + forward
    c = low
    for _ in range(_BISECTIONS):
        log_p, x = at(c)
        weight = np.exp(log_p)
        excess = np.log(weight.sum(axis=1))
        low, high = np.where(excess > 0, c, low), np.where(excess > 0, high, c)
        slope = -(weight / (1 + x)).sum(axis=1) / weight.sum(axis=1)
        newton = c - excess / slope
        inside = (newton > low) & (newton < high)
        following = np.where(inside, newton, (low + high) / 2)
        if np.all((np.abs(excess) <= _ROUNDING) | (np.abs(following - c) <= _ROUNDING * np.maximum(1.0, np.abs(c)))):
            break
        c = following
    return log_normalise(at(c)[0])
