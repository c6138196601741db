"""Verdicts drawn from known preferences, for tests of audits."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from comal.evaluation.audit.verdicts import Row, Verdicts

CIRCLE = np.array([[0.5, 0.8, 0.2], [0.2, 0.5, 0.8], [0.8, 0.2, 0.5]])
"""Rock, paper and scissors, with 20% noise."""


def bradley_terry(scores):
    """P[..., i, j] of scores (..., n)."""
    return 1 / (1 + np.exp(scores[..., None, :] - scores[..., :, None]))


def strongly_transitive(n, rng):
    """A random matrix with P[i, k] >= max(P[i, j], P[j, k]) for i < j < k, and many ties: not Bradley-Terry."""
    P = np.full((n, n), 0.5)
    for distance in range(1, n):
        for i in range(n - distance):
            j = i + distance
            least = 0.5 if distance == 1 else max(P[i, j - 1], P[i + 1, j])
            P[i, j] = least + (1 - least) * rng.beta(0.5, 3) * (rng.random() < 0.7)
            P[j, i] = 1 - P[i, j]
    order = rng.permutation(n)
    return P[np.ix_(order, order)]


def drawn(P, rng, repeats=1, named=True):
    """Single verdicts on all pairs of each prompt, P of shape (prompts, n, n)."""
    prompts, n, _ = P.shape
    rows = [
        Row(x, i, j, float(rng.random() < P[x, i, j]), repeat=r)
        for x in range(prompts)
        for i, j in combinations(range(n), 2)
        for r in range(repeats)
    ]
    return verdicts(rows, n, prompts, named)


def exact(P, named=True):
    """Probabilities as verdicts."""
    prompts, n, _ = P.shape
    rows = [Row(x, i, j, float(P[x, i, j])) for x in range(prompts) for i, j in combinations(range(n), 2)]
    return verdicts(rows, n, prompts, named)


def verdicts(rows, n, prompts, named=True, raters=("rater",), lengths=None, **options):
    systems = tuple("abcdefghij"[:n]) if named else ()
    owner = tuple(range(n)) if named else (0,) * n
    lengths = np.full((prompts, n), np.nan) if lengths is None else np.asarray(lengths, dtype=float)
    ids = tuple(f"q{x}" for x in range(prompts))
    return Verdicts("drawn", ids, systems, owner, raters, tuple(rows), lengths, **options)
