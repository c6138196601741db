r"""Win rates from some of the pairs: unbiased for every game, and exact where preferences are additive.

**Self-play.** Let A = P − 1/2 (skew), x its entries on the edges of a design, d_i = sum of A_ij over the neighbours j
of i, L the design's Laplacian with eigenvalues 0 = μ_1 < μ_2 ≤ … ≤ μ_K. The estimate of the mean over the K − 1 others
v_i = 1/2 + 1/(K−1) · sum_j A_ij is, for a weight θ,

    v̂ = 1/2 + K/(K−1) · (I + θL)⁻¹ d / c,        c = 1/(K−1) · sum_{m≥2} μ_m / (1 + θμ_m)

θ = 0 is the mean over the neighbours; θ = ∞ (c = 1, L⁺d) is HodgeRank's least squares (Jiang, Lim, Yao and Ye 2011),
the prediction s_i − s_j summed over all pairs, whose residuals sum to 0 at every answer, so that a doubly robust
correction would add nothing.

*Every one of them is unbiased for every A.* A design whose labels are uniformly permuted makes E[v̂] − 1/2 a linear
map of A that commutes with the permutations of the answers. Skew matrices are the sum of two irreducible,
inequivalent parts, A = (s_i − s_j) + C with s the row means (a copy of the standard representation) and the rows of C
summing to 0 (its exterior square), and only the first occurs among vectors. By Schur's lemma the map is a constant
times s: the cyclic part C adds noise but no bias, and c is the constant. So

    E|v̂ − v|² = (K/(K−1))² · [ mean_m (h_m/c − 1)² · |s|²  +  sum_m g_m² μ_m (1 − μ_m/K) / (c²·D) · sum_{i<j} C_ij² ]
    g_m = 1/(1 + θμ_m),   h_m = μ_m g_m,   D = (K−1)(K−2)/2,   sums and mean over m ≥ 2

(`expected_error`). At θ = ∞ the first term is 0: games of the form s_i − s_j are completed exactly. At θ = 0 this is
sampling k of K − 1 without replacement, 1/k · (1 − k/(K−1)) · the variance of A_ij over j.

**The weight.** Were C isotropic with σ² an entry, and γ the mean of A_ij·A_il over pairs that share i, the best
unbiased linear estimate is θ = γ/σ². Both are estimated by moments (of |x|² and |d|²), pooled over the *other half* of
a step's prompts: a weight that its own prompt had a say in would make the estimate nonlinear, and biased. γ < 0, down
to −σ²/K, is a game more cyclic than chance.

**Samples against opponents.** P_ij = m + r_i + c_j + C_ij; the target is the mean over all opponents, m + r_i. The
opponents' levels are estimated with the samples' taken out and shrunk by θ,

    ŵ_i = mean over the opponents j of i of (P_ij − ĉ_j),   ĉ = θ(I + θQ)⁻¹u,   Q = kI − NᵀN/k,
    u_j = sum over the samples i of j of (P_ij − mean of i)

which is exact on m + r_i; c_j and C_ij do not occur among vectors over the samples, so they add no bias.

Win rates completed so may leave [0, 1]; cutting them off would bias them. They are for what is linear in them, the
regressions of `comal.losses`. A certificate takes their exponential, and gets all pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from comal.judges.asking.design import Mask
from comal.judges.asking.tables import Table, fully_rated, win_rates, win_rates_against_others

Array = NDArray[np.float64]

_LEAST = 0.9  # of the most negative weight possible, −1/K, at which the inverse may not exist


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums from which a weight is estimated; they add up over prompts.

    Model: E[first] = σ²·a + γ·b, E[second] = σ²·b + γ·e.
    """

    first: float = 0.0
    second: float = 0.0
    a: float = 0.0
    b: float = 0.0
    e: float = 0.0

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.first + other.first, self.second + other.second, self.a + other.a, self.b + other.b, self.e + other.e
        )

    def weight(self, K: int) -> float:
        """θ = γ/σ², not below what K answers allow; 0, the plain mean, where nothing tells."""
        determinant = self.a * self.e - self.b**2
        if determinant <= 1e-9 * self.a * self.e or self.first <= 0:
            return 0.0
        variance = (self.first * self.e - self.second * self.b) / determinant
        shared = (self.second * self.a - self.first * self.b) / determinant
        if variance <= 1e-12 * self.first / self.a:
            return float("inf")
        return max(shared / variance, -_LEAST / K)


def complete_self_play(tables: Sequence[Table], asked: Sequence[Mask]) -> Array:
    """Win rates for self-play regression, shape (prompts, K): the mean over all K samples, P_ii = 1/2 included.

    Args:
        tables: for each prompt P[i, j], shape (K, K), NaN where a pair was not asked or has no verdict.
        asked: for each prompt which pairs were asked.

    Returns:
        NaN rows where some answer has no verdict at all. Where all pairs were asked,
        `comal.judges.asking.tables.win_rates`; where a verdict of a design failed, the mean over the neighbours that
        have one.
    """
    K = len(tables[0])
    whole = [_complete_rows(table, mask, self_play=True) for table, mask in zip(tables, asked, strict=True)]
    moments = [
        self_play_moments(t - 0.5, m) if w is None else None for t, m, w in zip(tables, asked, whole, strict=True)
    ]
    weights = _cross_fitted(moments, K)
    rows = []
    for table, mask, known, weight in zip(tables, asked, whole, weights, strict=True):
        if known is None:
            others = self_play_estimate(table - 0.5, mask, weight)
            known = (0.5 + (K - 1) * (0.5 + others)) / K  # not (1/2 + k·mean)/(k + 1): that step would be too short
        rows.append(known)
    return np.stack(rows)


def complete_against_others(tables: Sequence[Table], asked: Sequence[Mask]) -> Array:
    """Win rates of each answer against the *other* samples, shape (prompts, K); as `complete_self_play` otherwise.

    Unbiased given the answer, which the diagonal's 1/2 is not: for rewards with a group's mean as their baseline.
    """
    rates = complete_self_play(tables, asked)
    K = rates.shape[1]
    for row, table, mask in zip(rates, tables, asked, strict=True):
        if np.isfinite(row).all():  # a completed row holds the diagonal's 1/2 with weight 1/K
            row[:] = win_rates_against_others(table) if mask.all() else (K * row - 0.5) / (K - 1)
    return rates


def complete_cross(tables: Sequence[Table], asked: Sequence[Mask]) -> Array:
    """Win rates of samples against all of their opponents, shape (prompts, K); as `complete_self_play` otherwise."""
    K = len(tables[0])
    whole = [_complete_rows(table, mask, self_play=False) for table, mask in zip(tables, asked, strict=True)]
    moments = [cross_moments(t, m) if w is None else None for t, m, w in zip(tables, asked, whole, strict=True)]
    weights = _cross_fitted(moments, K)
    rows = [
        cross_estimate(table, mask, weight) if known is None else known
        for table, mask, known, weight in zip(tables, asked, whole, weights, strict=True)
    ]
    return np.stack(rows)


def self_play_estimate(A: Table, asked: Mask, weight: float) -> Array:
    """v̂ − 1/2 of one prompt; see the module's docstring. `A` is read on the edges of `asked` only."""
    K = len(A)
    edges = asked & ~np.eye(K, dtype=bool)
    d = np.where(edges, A, 0.0).sum(axis=1)
    mu, basis = np.linalg.eigh(_laplacian(edges))
    gains = _gains(mu, weight)
    scale = float((mu * gains).sum()) / (K - 1)
    return np.asarray(K / (K - 1) * (basis @ (gains * (basis.T @ d))) / scale)


def self_play_moments(A: Table, asked: Mask) -> Moments:
    """Sums over the edges of one prompt."""
    edges = asked & ~np.eye(len(A), dtype=bool)
    seen = np.where(edges, A, 0.0)
    L = _laplacian(edges)
    return Moments(
        float((seen**2).sum()) / 2, float((seen.sum(axis=1) ** 2).sum()), edges.sum() / 2, np.trace(L), (L**2).sum()
    )


def cross_estimate(P: Table, asked: Mask, weight: float) -> Array:
    """ŵ of one prompt; see the module's docstring. `P` is read where `asked` only."""
    rows = np.where(asked, P, 0.0).sum(axis=1) / asked.sum(axis=1)
    Q, u, _ = _opponents(P, asked)
    mu, basis = np.linalg.eigh(Q)
    levels = basis @ (_shrinkage(mu, weight) * (basis.T @ u))
    return np.asarray(rows - np.where(asked, levels, 0.0).sum(axis=1) / asked.sum(axis=1))


def cross_moments(P: Table, asked: Mask) -> Moments:
    """Sums over the residuals of one prompt, the samples' levels taken out."""
    Q, u, residual = _opponents(P, asked)
    return Moments(
        float((residual**2).sum()), float((u**2).sum()), asked.sum() - len(P), np.trace(Q), float((Q**2).sum())
    )


def expected_error(A: Table, asked: Mask, weight: float) -> float:
    """Root of the mean over answers and over all labellings of the design of (v̂_i − v_i)², in closed form.

    Args:
        A: P − 1/2 of all pairs, skew, shape (K, K).
        asked: a design, of which only the spectrum matters.
        weight: θ.
    """
    K = len(A)
    s = A.mean(axis=1)
    cyclic = A - (s[:, None] - s[None, :])
    edges = asked & ~np.eye(K, dtype=bool)
    mu = np.linalg.eigvalsh(_laplacian(edges))[1:]
    gains = _gains(np.concatenate([[0.0], mu]), weight)[1:]
    scale = float((mu * gains).mean())
    transitive_part = float(((mu * gains / scale - 1) ** 2).mean()) * float((s**2).sum())
    dimension = (K - 1) * (K - 2) / 2
    noise = float((gains**2 * mu * (1 - mu / K)).sum()) / scale**2
    cyclic_part = noise / dimension * float((cyclic**2).sum()) / 2 if dimension else 0.0
    return K / (K - 1) * float(np.sqrt((transitive_part + cyclic_part) / K))


def _complete_rows(table: Table, asked: Mask, *, self_play: bool) -> Array | None:
    """Win rates where there is nothing to complete; None where a design was asked and every verdict came."""
    if not fully_rated(table, self_play=self_play):
        return np.full(len(table), np.nan)
    if asked.all():
        return win_rates(table)
    if np.isfinite(table[asked]).all():
        return None
    if not self_play:
        return win_rates(table)
    K = len(table)
    return (0.5 + (K - 1) * win_rates_against_others(table)) / K


def _cross_fitted(moments: Sequence[Moments | None], K: int) -> list[float]:
    """A weight for each prompt from the prompts at positions of the other parity."""
    halves = [sum((m for m in moments[parity::2] if m is not None), Moments()).weight(K) for parity in (0, 1)]
    return [halves[1 - position % 2] for position in range(len(moments))]


def _laplacian(edges: Mask) -> Array:
    return np.diag(edges.sum(axis=1)).astype(np.float64) - edges


def _opponents(P: Table, asked: Mask) -> tuple[Array, Array, Array]:
    """The Laplacian of the opponents' levels, their sums of residuals, and the residuals."""
    N = asked.astype(np.float64)
    degree = N.sum(axis=1, keepdims=True)
    seen = np.where(asked, P, 0.0)
    residual = np.where(asked, seen - seen.sum(axis=1, keepdims=True) / degree, 0.0)
    return np.diag(N.sum(axis=0)) - N.T @ (N / degree), residual.sum(axis=0), residual


def _gains(mu: Array, weight: float) -> Array:
    """1/(1 + θμ), and 1/μ (0 for μ = 0) in the limit, which the scale then makes the same."""
    return _inverse(mu) if np.isinf(weight) else 1 / (1 + weight * mu)


def _shrinkage(mu: Array, weight: float) -> Array:
    """θ/(1 + θμ), and 1/μ (0 for μ = 0) in the limit."""
    return _inverse(mu) if np.isinf(weight) else weight / (1 + weight * mu)


def _inverse(mu: Array) -> Array:
    positive = mu > 1e-9 * max(1.0, float(mu.max()))
    return np.where(positive, 1 / np.where(positive, mu, 1.0), 0.0)
