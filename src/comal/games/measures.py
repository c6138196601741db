"""Win rates, best responses, gaps and divergences, over one game or a batch of games.

Policies are probability vectors (n,) or (B, n); `kl` alone takes log-probabilities, which is what backends store: it is
wanted where probabilities have long underflowed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from comal.games.game import Floats, PreferenceGame


def log_normalise(log_weights: Floats) -> Floats:
    """Log-probabilities proportional to exp(log_weights) along the last axis; -inf stays -inf."""
    shifted = log_weights - log_weights.max(axis=-1, keepdims=True)
    normalised: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normalised


def kl(log_p: Floats, log_q: Floats) -> Floats:
    """KL(p || q) along the last axis, exact to rounding however near p and q are.

    sum_i p_i (expm1(-d_i) + d_i) with d = log p - log q equals sum_i p_i d_i for normalised p and q, but all its terms
    are positive, so nothing cancels: two policies that differ by 1e-9 are told apart.
    """
    p = np.exp(log_p)
    with np.errstate(invalid="ignore"):  # -inf - -inf where neither has mass, and 0 · inf in the branch not taken
        d = log_p - log_q
        near = np.abs(d) < 1
        small = np.where(near, d, 0.0)
        # far apart, expm1(-d) may overflow while p·expm1(-d) = q - p does not
        far = np.exp(log_q) - p + np.where(p > 0, p * d, 0.0)
    result: Floats = np.where(near, p * (np.expm1(-small) + small), far).sum(axis=-1)
    return result


def product(A: Floats, p: Floats) -> Floats:
    """The matrix-vector product A p of one game or of each game of a batch."""
    if A.ndim == 3 and len(A) == 1 and p.ndim == 2:  # one large game: BLAS, without the overhead of a batch
        single: Floats = (A[0] @ p[0])[None]
        return single
    result: Floats = (A @ p[..., None])[..., 0]
    return result


def win_rates(game: PreferenceGame, opponent: Floats) -> Floats:
    """P(y ≻ opponent) of every answer y."""
    return 0.5 + product(game.A, np.asarray(opponent, dtype=np.float64))


def win_rate(game: PreferenceGame, policy: Floats, opponent: Floats) -> Floats:
    """P(policy ≻ opponent); a number, or one for each game of a batch."""
    result: Floats = (np.asarray(policy) * win_rates(game, opponent)).sum(axis=-1)
    return result


def best_response(game: PreferenceGame, policy: Floats) -> NDArray[np.intp]:
    """Index of an answer that is preferred to the policy most often, the first of several."""
    return np.asarray(win_rates(game, policy).argmax(axis=-1))


def duality_gap(game: PreferenceGame, policy: Floats) -> Floats:
    """max_pi P(pi ≻ policy) − min_pi P(policy ≻ pi), which is 2 max_i (A policy)_i; 0 at a Nash policy and only there.

    Half of it is the exploitability: how far above one half the best answer's win rate against the policy lies.
    """
    return gap_of_payoff(product(game.A, np.asarray(policy, dtype=np.float64)))


def gap_of_payoff(payoff: Floats) -> Floats:
    """The duality gap of a policy p from A p; rounding may leave max(A p) below 0 at a Nash policy."""
    result: Floats = 2 * np.maximum(payoff.max(axis=-1), 0.0)
    return result


def regularised_best_response(game: PreferenceGame, log_policy: Floats, log_reference: Floats, tau: float) -> Floats:
    """Log-probabilities of BR(p) ∝ reference · exp(P(· ≻ p) / tau)."""
    return log_normalise(log_reference + product(game.A, np.exp(log_policy)) / tau)


def regularised_gap(game: PreferenceGame, log_policy: Floats, log_reference: Floats, tau: float) -> Floats:
    """The duality gap of the game tau-regularised to the reference: 2 tau KL(p || BR(p))."""
    response = regularised_best_response(game, log_policy, log_reference, tau)
    return 2 * tau * kl(log_policy, response)
