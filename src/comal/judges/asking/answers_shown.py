"""How often a user prefers an answer to k answers of the opponent, from the answers that are judged anyway.

Let y_1..y_K be drawn independently from the opponent, and let a user be asked about their pairs. Any k of the K − 1
others are k independent draws, so the mean over all such k is unbiased for

    w_k(y_i) = Pr(the user prefers y_i to k answers of the opponent; ties shared)

Where y_i beats r of the others and ties with t, and j of the k are among those ties, y_i has a share of 1/(j + 1):

    ŵ_k(y_i) = Σ_j C(t, j) C(r, k − j) / ((j + 1) C(K − 1, k)),      C(r, k) / C(K − 1, k) without ties

so that K(K − 1)/2 comparisons a user serve every k at once; k = 1 is the mean win rate against the others. That holds
for users who rank answers, perhaps with ties. Verdicts in between are refused: what a user who is sure of no pair would
take from several answers does not follow from pairs.
"""

from __future__ import annotations

from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from comal.judges.asking.tables import Table

_DECIDED = (0.0, 0.5, 1.0)


def win_rates_against_draws(tables: ArrayLike, k: int, weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """ŵ_k of each of a prompt's answers, averaged over users; NaN where a user gave no verdict on one of its pairs.

    Args:
        tables: P[u, i, j] = 1 where user u prefers i to j, ½ for a tie, 0 otherwise, NaN without a verdict; (users, K,
            K), the diagonal of no effect.
        k: answers that the opponent shows, from 1 to K − 1.
        weights: share of each user, (users,); equal unless given.

    Returns:
        (K,).

    Raises:
        ValueError: a k that K answers cannot serve, verdicts in between, or weights that are no shares.
    """
    P = np.asarray(tables, dtype=np.float64)
    if P.ndim != 3 or P.shape[1] != P.shape[2] or not len(P):
        raise ValueError(f"need a square table for each user, got shape {P.shape}")
    users, K, _ = P.shape
    if not 1 <= k < K:
        raise ValueError(f"{K} answers serve k from 1 to {K - 1}, got {k}")
    shares = np.ones(users) if weights is None else np.asarray(weights, dtype=np.float64)
    if shares.shape != (users,) or not (np.isfinite(shares).all() and (shares >= 0).all() and shares.sum() > 0):
        raise ValueError(f"need a weight for each of {users} users, none negative and one above 0")
    others = ~np.eye(K, dtype=np.bool_)
    known = np.where(others, P, 0.0)
    if not (np.isin(known, _DECIDED) | np.isnan(known)).all():
        raise ValueError("verdicts are 1, ½ for a tie or 0 for each user; several answers need users who rank them")
    beaten, tied = ((value == P) & others for value in (1.0, 0.5))
    share = _shares(K, k)
    rates: Table = share[beaten.sum(axis=2), tied.sum(axis=2)]
    rates = np.where(np.isnan(known).any(axis=2), np.nan, rates)
    mean: NDArray[np.float64] = shares @ rates / shares.sum()
    return mean


def _shares(K: int, k: int) -> Table:
    """ŵ_k of an answer that beats r others and ties with t, (K, K)."""
    whole = comb(K - 1, k)
    table = np.zeros((K, K))
    for r in range(K):
        for t in range(K - r):
            table[r, t] = sum(comb(t, j) * comb(r, k - j) / (j + 1) for j in range(k + 1)) / whole
    return table
