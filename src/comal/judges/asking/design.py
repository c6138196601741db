"""Which pairs of a prompt's answers are judged when not all of them can be paid for.

A design is a k-regular graph: on the K answers of self-play (each meets k others, K·k/2 questions instead of
K·(K−1)/2), or between K samples and K independently drawn opponents (each sample meets k opponents and each opponent k
samples, K·k questions instead of K²). Its vertices are relabelled by a uniformly random permutation, so every pair is
as likely as any other, k/(K−1) or k/K, and the k opponents of an answer are a uniform k-subset: that alone makes the
estimates of `comal.judges.asking.completion` unbiased, whatever graph was relabelled.

Which graph it is matters for the variance only, through the spectrum of its Laplacian. So it is not drawn: it is the
circulant one (i meets i ± s for the offsets s of a fixed set) of least sum of inverse eigenvalues, the A-optimal one.
That is connected whenever a k-regular graph on K vertices can be (k ≥ 2; k = 1 is a perfect matching), needs no
rejection, and is at least as good as the average random regular graph but for k = 3 on many vertices, where it is
within 1% (K = 16: 7.56 against 7.51).

Unasked is not failed: an unasked pair says nothing about the judge, and costs no prompt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

_MOST_SETS = 20_000  # of offsets looked at; more only for answers by the dozen, where a sample of them is as good


def exists(K: int, k: int) -> bool:
    """Whether there is a k-regular graph on K vertices."""
    return 1 <= k <= K - 1 and K * k % 2 == 0


def regular_graph(K: int, k: int, seed: int) -> Mask:
    """A k-regular graph on K answers with random labels, as a symmetric adjacency matrix of shape (K, K).

    Raises:
        ValueError: there is none.
    """
    if not exists(K, k):
        raise ValueError(f"there is no {k}-regular graph on {K} answers")
    graph = np.zeros((K, K), dtype=bool)
    vertices = np.arange(K)
    for offset in _graph_offsets(K, k):
        graph[vertices, (vertices + offset) % K] = graph[vertices, (vertices - offset) % K] = True
    order = np.random.default_rng(seed).permutation(K)
    return graph[np.ix_(order, order)]


def regular_bipartite_graph(K: int, k: int, seed: int) -> Mask:
    """A k-regular graph between K answers and K opponents, labels random on both sides, of shape (K, K).

    Raises:
        ValueError: there is none.
    """
    if not 1 <= k <= K:
        raise ValueError(f"{K} answers cannot each meet {k} of {K} opponents")
    graph = np.zeros((K, K), dtype=bool)
    vertices = np.arange(K)
    for offset in _bipartite_offsets(K, k):
        graph[vertices, (vertices + offset) % K] = True
    rng = np.random.default_rng(seed)
    return graph[np.ix_(rng.permutation(K), rng.permutation(K))]


def pairs_to_ask(answers: Sequence[str], opponents: Sequence[str] | None, k: int, seed: int) -> Mask:
    """The pairs of one prompt that are asked, shape (K, K); in self-play (no opponents) with the diagonal.

    Equal answers share their questions and are no question to one another. Where all pairs need no more questions than
    the design may cost, all are asked: that depends on the answers alone and not on the draw, so it biases nothing.

    Raises:
        ValueError: there is no such design.
    """
    K = len(answers)
    if opponents is None:
        distinct = len(set(answers))
        if k >= K - 1 or distinct * (distinct - 1) // 2 <= K * k // 2:
            return np.ones((K, K), dtype=bool)
        return regular_graph(K, k, seed) | np.eye(K, dtype=bool)
    questions = {frozenset((a, b)) for a in set(answers) for b in set(opponents) if a != b}
    if k >= K or len(questions) <= K * k:
        return np.ones((K, len(opponents)), dtype=bool)
    return regular_bipartite_graph(K, k, seed)


@lru_cache(maxsize=256)
def _graph_offsets(K: int, k: int) -> tuple[int, ...]:
    opposite = (K // 2,) if k % 2 else ()
    angle = 2 * np.pi * np.arange(1, K) / K

    def eigenvalues(offsets: tuple[int, ...]) -> NDArray[np.float64]:
        return np.asarray(k - sum(2 * np.cos(angle * s) for s in offsets) - sum(np.cos(angle * s) for s in opposite))

    return _best(_sets((K - 1) // 2, k // 2), eigenvalues) + opposite


@lru_cache(maxsize=256)
def _bipartite_offsets(K: int, k: int) -> tuple[int, ...]:
    angle = 2 * np.pi * np.arange(1, K) / K

    def eigenvalues(offsets: tuple[int, ...]) -> NDArray[np.float64]:
        """Of the opponents' Laplacian, the samples' own levels taken out; the offset 0 stands for the first."""
        singular = np.abs(1 + sum(np.exp(1j * angle * s) for s in offsets))
        return np.asarray(k - singular**2 / k)

    return (0, *_best(_sets(K - 1, k - 1), eigenvalues))


def _sets(largest: int, size: int) -> list[tuple[int, ...]]:
    """Sets of so many of the offsets 1 to `largest`: all, or a fixed sample that holds the first."""
    if math.comb(largest, size) <= _MOST_SETS:
        return list(combinations(range(1, largest + 1), size))
    rng = np.random.default_rng(0)
    drawn = (tuple(sorted((rng.permutation(largest)[:size] + 1).tolist())) for _ in range(_MOST_SETS // 10))
    return [tuple(range(1, size + 1)), *drawn]


def _best(
    sets: list[tuple[int, ...]], eigenvalues: Callable[[tuple[int, ...]], NDArray[np.float64]]
) -> tuple[int, ...]:
    """The set of least sum of inverse eigenvalues; the first of them, so that it never depends on rounding."""

    def criterion(offsets: tuple[int, ...]) -> float:
        values = eigenvalues(offsets)
        return math.inf if values.min(initial=1.0) < 1e-9 else round(float((1 / values).sum()), 9)

    return min(sets, key=criterion)
