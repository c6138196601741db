"""Completed win rates: unbiased by enumeration of all designs, exact on additive games, of the variance derived."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from comal.judges.asking.completion import (
    Moments,
    complete_cross,
    complete_self_play,
    cross_estimate,
    cross_moments,
    expected_error,
    self_play_estimate,
    self_play_moments,
)
from comal.judges.asking.design import regular_bipartite_graph, regular_graph
from comal.judges.asking.tables import win_rates, win_rates_against_others
from random_games import random_table

WEIGHTS = [0.0, -0.1, 0.3, 5.0, np.inf]


def connected(graph) -> bool:
    return bool((np.linalg.matrix_power(graph.astype(int) + np.eye(len(graph), dtype=int), len(graph)) > 0).all())


def all_regular_graphs(K: int, k: int, *, only_connected: bool = True) -> list[np.ndarray]:
    """Every labelled k-regular graph on K vertices, by brute force."""
    pairs = list(combinations(range(K), 2))
    found = []
    for edges in combinations(pairs, K * k // 2):
        graph = np.zeros((K, K), dtype=bool)
        for i, j in edges:
            graph[i, j] = graph[j, i] = True
        if (graph.sum(axis=0) == k).all() and (connected(graph) or not only_connected):
            found.append(graph)
    return found


def all_bipartite_graphs(K: int, k: int) -> list[np.ndarray]:
    """Every labelled k-regular bipartite graph on K + K vertices, by brute force."""
    rows = [np.isin(np.arange(K), c) for c in combinations(range(K), k)]
    grids = np.array(np.meshgrid(*[range(len(rows))] * K)).reshape(K, -1).T
    graphs = (np.array([rows[i] for i in grid]) for grid in grids)
    return [g for g in graphs if (g.sum(axis=0) == k).all()]


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize(("K", "k", "count"), [(4, 2, 3), (5, 2, 12), (6, 2, 60), (6, 3, 70)])
def test_the_mean_over_all_designs_is_the_truth_whatever_the_game(K, k, count, weight) -> None:
    """Counts: (K−1)!/2 Hamiltonian cycles; 70 labelled cubic graphs on 6 vertices (OEIS A002829), all connected."""
    designs = all_regular_graphs(K, k)
    assert len(designs) == count
    for seed in range(3):
        A = random_table(K, seed) - 0.5
        if len({round(float(np.trace(g @ g @ g)), 6) for g in designs}) > 1:
            # c belongs to a graph up to labels; 6 vertices have two cubic graphs, the prism and K33.
            groups = [[g for g in designs if np.trace(g.astype(int) @ g @ g) == t] for t in (0, 12)]
        else:
            groups = [designs]
        for group in groups:
            mean = np.mean([self_play_estimate(A, g, weight) for g in group], axis=0)
            np.testing.assert_allclose(mean, A.sum(axis=1) / (K - 1), atol=1e-12)


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize(("K", "k"), [(5, 2), (5, 4), (6, 3), (6, 4)])
def test_the_mean_over_all_labels_of_our_design_is_the_truth_and_the_spread_is_as_derived(K, k, weight) -> None:
    A = random_table(K, seed=7) - 0.5
    graph = regular_graph(K, k, 0)
    estimates = np.array(
        [self_play_estimate(A, graph[np.ix_(order, order)], weight) for order in permutations(range(K))]
    )
    truth = A.sum(axis=1) / (K - 1)
    np.testing.assert_allclose(estimates.mean(axis=0), truth, atol=1e-12)
    error = np.sqrt(np.mean((estimates - truth) ** 2))
    assert expected_error(A, graph, weight) == pytest.approx(error, abs=1e-7)  # a root of rounding
    if weight == 0:  # k of K − 1 without replacement (Cochran, Sampling Techniques, 1977, theorem 2.2)
        others = A[~np.eye(K, dtype=bool)].reshape(K, K - 1)
        variance = others.var(axis=1, ddof=1) / k * (1 - k / (K - 1))
        assert error == pytest.approx(np.sqrt(variance.mean()), abs=1e-9)


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize(("K", "k"), [(3, 2), (4, 1), (4, 2), (4, 3)])
def test_samples_against_opponents_are_unbiased_too(K, k, weight) -> None:
    P = np.random.default_rng(K).random((K, K))
    # The weight's effect depends on the graph up to labels: take ours, with all labels on both sides.
    graph, orders = regular_bipartite_graph(K, k, 0), list(permutations(range(K)))
    mean = np.mean([cross_estimate(P, graph[np.ix_(a, b)], weight) for a in orders for b in orders], axis=0)
    np.testing.assert_allclose(mean, P.mean(axis=1), atol=1e-12)


def test_two_opponents_each_is_unbiased_over_all_bipartite_graphs() -> None:
    designs = all_bipartite_graphs(4, 2)
    assert len(designs) == 90  # OEIS A001499
    P = np.random.default_rng(0).random((4, 4))
    mean = np.mean([cross_estimate(P, g, 0.0) for g in designs], axis=0)
    np.testing.assert_allclose(mean, P.mean(axis=1), atol=1e-12)


@given(st.integers(0, 10**6), st.sampled_from([(4, 2), (6, 2), (6, 3), (7, 4), (9, 2)]))
def test_additive_games_are_completed_exactly(seed, size) -> None:
    K, k = size
    rng = np.random.default_rng(seed)
    s, r, c = rng.uniform(-0.2, 0.2, K), rng.random(K), rng.random(K)
    A = s[:, None] - s[None, :]
    np.testing.assert_allclose(
        self_play_estimate(A, regular_graph(K, k, seed), np.inf), A.sum(axis=1) / (K - 1), atol=1e-12
    )
    P = r[:, None] + c[None, :]
    found = cross_estimate(P, regular_bipartite_graph(K, k, seed), np.inf)
    np.testing.assert_allclose(found, P.mean(axis=1), atol=1e-12)


def test_least_squares_is_what_numpy_finds() -> None:
    """θ = ∞ against `lstsq` on the edges' equations."""
    K, A = 6, random_table(6, 3) - 0.5
    graph = regular_graph(K, 3, 1)
    edges = np.argwhere(np.triu(graph))
    B = np.zeros((len(edges), K))
    B[np.arange(len(edges)), edges[:, 0]], B[np.arange(len(edges)), edges[:, 1]] = 1, -1
    s = np.linalg.lstsq(B, A[edges[:, 0], edges[:, 1]])[0]  # of least norm: sums to 0
    np.testing.assert_allclose(self_play_estimate(A, graph, np.inf), s * K / (K - 1), atol=1e-12)

    P, N = np.random.default_rng(0).random((K, K)), regular_bipartite_graph(K, 3, 1)
    rows, columns = np.nonzero(N)
    X = np.hstack([np.eye(K)[rows], np.eye(K)[columns]])
    both = np.linalg.lstsq(X, P[rows, columns])[0]
    np.testing.assert_allclose(cross_estimate(P, N, np.inf), both[:K] + both[K:].mean(), atol=1e-12)


def whole_moments(tables, of) -> Moments:
    return sum((of(table, np.ones(table.shape, dtype=bool)) for table in tables), Moments())


def test_moments_over_all_designs_are_those_of_the_whole_game() -> None:
    """σ² + 2γ is the mean square of an entry and γ the mean of A_ij·A_il, for any game, on average over designs."""
    K, k = 5, 2
    A = random_table(K, 1) - 0.5
    total = sum((self_play_moments(A, g) for g in all_regular_graphs(K, k)), Moments())
    square = np.mean([A[i, j] ** 2 for i, j in permutations(range(K), 2)])
    shared = np.mean([A[i, j] * A[i, l] for i, j, l in permutations(range(K), 3)])
    assert total.weight(K) == pytest.approx(max(shared / (square - 2 * shared), -0.9 / K))


def test_weights_follow_the_game() -> None:
    rng = np.random.default_rng(0)
    s = rng.uniform(-0.2, 0.2, (50, 6))
    transitive = s[:, :, None] - s[:, None, :]
    masks = [regular_graph(6, 2, seed) for seed in range(50)]

    def weight(games):
        return sum((self_play_moments(A, m) for A, m in zip(games, masks, strict=True)), Moments()).weight(6)

    assert weight(transitive) > 3
    noise = rng.uniform(-0.5, 0.5, (50, 6, 6))
    noise = np.triu(noise, 1) - np.triu(noise, 1).transpose(0, 2, 1)
    assert abs(weight(noise)) < 0.2
    cyclic = noise - noise.mean(axis=2, keepdims=True) + noise.mean(axis=2)[:, None, :]
    assert weight(cyclic) == pytest.approx(-1 / 6, abs=0.04)
    assert Moments().weight(6) == 0.0
    assert self_play_moments(transitive[0], regular_graph(6, 1, 0)).weight(6) == 0.0, "a matching tells nothing"
    assert cross_moments(transitive[0], regular_bipartite_graph(6, 1, 0)).weight(6) == 0.0
    assert self_play_moments(np.zeros((6, 6)), masks[0]).weight(6) == 0.0, "only ties"


def hidden(P, mask):
    return np.where(mask, P, np.nan)


def test_a_prompt_has_no_say_in_its_own_weight() -> None:
    """Else the estimate would not be linear in the prompt's verdicts, and unbiasedness would be gone."""
    K, rng = 6, np.random.default_rng(0)
    tables = [expit(s[:, None] - s[None, :]) for s in rng.normal(size=(6, K))]
    masks = [regular_graph(K, 2, i) | np.eye(K, dtype=bool) for i in range(6)]
    shown = [hidden(P, m) for P, m in zip(tables, masks, strict=True)]
    before = complete_self_play(shown, masks)
    shown[2] = hidden(random_table(K, 9), masks[2])
    after = complete_self_play(shown, masks)
    np.testing.assert_array_equal(before[0], after[0])  # positions of the same parity
    np.testing.assert_array_equal(before[4], after[4])
    assert not np.allclose(before[1], after[1])
    weight = sum((self_play_moments(shown[i] - 0.5, masks[i]) for i in (1, 3, 5)), Moments()).weight(K)
    expected = (0.5 + 5 * (0.5 + self_play_estimate(shown[2] - 0.5, masks[2], weight))) / 6
    np.testing.assert_allclose(after[2], expected)


def test_win_rates_for_self_play_count_the_diagonal_once() -> None:
    """One prompt alone has the plain mean: by hand, answer 0 meets two of three, and beats them .9 and .7."""
    P = np.array([[0.5, 0.9, 0.7, 0.2], [0.1, 0.5, 0.4, 0.6], [0.3, 0.6, 0.5, 0.8], [0.8, 0.4, 0.2, 0.5]])
    square = np.array([[1, 1, 1, 0], [1, 1, 0, 1], [1, 0, 1, 1], [0, 1, 1, 1]], dtype=bool)
    (rates,) = complete_self_play([hidden(P, square)], [square])
    assert rates[0] == pytest.approx((0.5 + 3 * 0.8) / 4)
    (rates,) = complete_cross([hidden(P, square & ~np.eye(4, dtype=bool))], [square & ~np.eye(4, dtype=bool)])
    assert rates[0] == pytest.approx(0.8)


@given(st.integers(2, 6), st.integers(0, 10**6), st.sets(st.integers(0, 35), max_size=12))
def test_where_all_pairs_were_asked_win_rates_are_what_they_always_were(K, seed, failures) -> None:
    P = random_table(K, seed)
    for number in failures:
        i, j = divmod(number, 6)
        if i < K and j < K and i != j:
            P[i, j] = P[j, i] = np.nan
    everything = np.ones((K, K), dtype=bool)
    (own,) = complete_self_play([P], [everything])
    usable = np.isfinite(win_rates_against_others(P)).all()
    np.testing.assert_array_equal(own, win_rates(P) if usable else np.full(K, np.nan))
    (cross,) = complete_cross([P], [everything])
    np.testing.assert_array_equal(cross, win_rates(P))  # the diagonal is a verdict here, so no row is without one


def test_unasked_is_not_failed() -> None:
    K = 6
    mask = regular_graph(K, 2, 0) | np.eye(K, dtype=bool)
    P = hidden(random_table(K, 0), mask)
    assert np.isfinite(complete_self_play([P], [mask])).all()
    i, j = np.argwhere(np.triu(mask, 1))[0]
    P[i, j] = P[j, i] = np.nan  # failed: both go on with the one neighbour left
    (rates,) = complete_self_play([P], [mask])
    other = next(l for l in range(K) if mask[i, l] and l not in (i, j))
    assert rates[i] == pytest.approx((0.5 + 5 * P[i, other]) / 6)
    P[i, other] = P[other, i] = np.nan  # no verdict left
    assert np.isnan(complete_self_play([P], [mask])).all()
    N = regular_bipartite_graph(K, 2, 0)
    Q = hidden(np.random.default_rng(0).random((K, K)), N)
    Q[0, np.flatnonzero(N[0])[0]] = np.nan
    (rates,) = complete_cross([Q], [N])
    np.testing.assert_allclose(rates, np.nanmean(Q, axis=1))
