"""How often a user prefers an answer to k answers of the opponent, from the answers that are judged anyway.

Let y_1..y_K be drawn independently from the opponent, and let a user be asked about their pairs. Any k of the K − 1
others are k independent draws, so the mean over all such k is unbiased for

    w_k(y_i) = Pr(the user takes y_i from y_i and k answers of the opponent; ties shared)

**Users who rank**, perhaps with ties. Where y_i beats r of the others and ties with t, and j of the k are among those
ties, y_i has a share of 1/(j + 1):

    ŵ_k(y_i) = Σ_j C(t, j) C(r, k − j) / ((j + 1) C(K − 1, k)),      C(r, k) / C(K − 1, k) without ties

**Users whose choice is noisy.** What a user who is sure of no pair takes from several answers does not follow from
pairs alone. Luce's choice axiom says that the odds of two answers are the same whatever else is shown; then

    Pr(y_i taken from y_i and S) = 1 / (1 + Σ_{j ∈ S} (1 − P_ij) / P_ij)

which is Plackett and Luce's model, and with P in {0, ½, 1} the ranking with ties above. The mean over all k-subsets S
is unbiased, and over a fixed sample of them, where they are too many, as well: each is k independent draws.

So K(K − 1)/2 comparisons a user serve every k at once; k = 1 is the mean win rate against the others. Of any k + 1
answers one is taken, so the mean of ŵ_k over a prompt's answers is 1/(k + 1) for every such user.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from comal.judges.asking.tables import Table

_DECIDED = (0.0, 0.5, 1.0)
_MOST_SUBSETS = 20_000  # that are all counted; beyond, a sample of a tenth as many
_AT_ONCE = 4_000_000  # numbers held for the subsets of some rows


def win_rates_against_draws(tables: ArrayLike, k: int, weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """ŵ_k of each of a prompt's answers, averaged over users; NaN where a user gave no verdict on one of its pairs.

    Args:
        tables: P[u, i, j] = Pr(user u prefers i to j), ½ for a tie, NaN without a verdict; (users, K, K), the diagonal
            of no effect.
        k: answers that the opponent shows, from 1 to K − 1.
        weights: share of each user, (users,); equal unless given.

    Returns:
        (K,).

    Raises:
        ValueError: a k that K answers cannot serve, verdicts that are no probabilities, or weights that are no shares.
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
    mean: NDArray[np.float64] = shares @ taken_from_draws(without_diagonal(P), k) / shares.sum()
    return mean


def without_diagonal(P: Table) -> Table:
    """Each answer's row without itself, (..., K, K − 1)."""
    K = P.shape[-1]
    return P[..., ~np.eye(K, dtype=np.bool_)].reshape(*P.shape[:-1], K - 1)


def taken_from_draws(P: Table, k: int, *, missing_left_out: bool = False) -> NDArray[np.float64]:
    """How often an answer is taken from itself and k of the L that it was compared with, over all choices of k.

    Args:
        P: Pr(the user prefers the answer to the j-th other), (..., L); NaN without a verdict.
        k: from 1 to L.
        missing_left_out: take the k from the answers that there is a verdict on.

    Returns:
        (...), NaN where a verdict is missing; or where fewer than k are there.

    Raises:
        ValueError: a k that L answers cannot serve, or numbers that are no probabilities.
    """
    L = P.shape[-1]
    if not 1 <= k <= L:
        raise ValueError(f"{L} answers serve k from 1 to {L}, got {k}")
    known = ~np.isnan(P)
    if not ((P >= 0) & (P <= 1))[known].all():
        raise ValueError("verdicts are probabilities, from 0 to 1")
    rows = P.reshape(-1, L)
    taken = np.full(len(rows), np.nan)
    whole = known.reshape(-1, L).all(axis=1)
    ranked = whole & np.isin(rows, _DECIDED).all(axis=1)
    beaten, tied = (np.equal(rows[ranked], value).sum(axis=1) for value in (1.0, 0.5))
    taken[ranked] = _shares(L, k)[beaten, tied]
    noisy = np.flatnonzero(whole & ~ranked)
    chosen = _subsets(L, k)
    size = max(1, _AT_ONCE // chosen.shape[1])
    for start in range(0, len(noisy), size):
        part = noisy[start : start + size]
        taken[part] = _by_odds(rows[part], chosen)
    if missing_left_out:
        for row in np.flatnonzero(~whole & (known.reshape(-1, L).sum(axis=1) >= k)):
            taken[row] = taken_from_draws(rows[row][~np.isnan(rows[row])], k)
    return taken.reshape(P.shape[:-1])


def _by_odds(P: Table, chosen: Table) -> NDArray[np.float64]:
    """Luce's choice, averaged over subsets: P is (rows, L), `chosen` (L, subsets) of zeros and ones."""
    lost = P == 0
    odds = np.where(lost, 0.0, (1 - P) / np.where(lost, 1.0, P))
    share = np.where(lost @ chosen > 0, 0.0, 1 / (1 + odds @ chosen))
    mean: NDArray[np.float64] = share.mean(axis=1)
    return mean


@lru_cache(maxsize=32)
def _subsets(L: int, k: int) -> Table:
    """The k-subsets of L, or a fixed sample of them, (L, subsets)."""
    if comb(L, k) <= _MOST_SUBSETS:
        rows = np.array(list(combinations(range(L), k)), dtype=np.intp)
    else:
        rng = np.random.default_rng(0)
        rows = np.stack([rng.permutation(L)[:k] for _ in range(_MOST_SUBSETS // 10)])
    chosen = np.zeros((L, len(rows)))
    chosen[rows, np.arange(len(rows))[:, None]] = 1.0
    return chosen


@lru_cache(maxsize=32)
def _shares(L: int, k: int) -> Table:
    """What an answer that beats r others and ties with t is taken from k of the L, (L + 1, L + 1)."""
    whole = comb(L, k)
    table = np.zeros((L + 1, L + 1))
    for r in range(L + 1):
        for t in range(L + 1 - r):
            table[r, t] = sum(comb(t, j) * comb(r, k - j) / (j + 1) for j in range(k + 1)) / whole
    return table
