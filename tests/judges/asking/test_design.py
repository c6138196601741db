"""Designs are regular, connected, repeatable, and treat all pairs alike."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from comal.judges.asking.design import exists, pairs_to_ask, regular_bipartite_graph, regular_graph

SIZES = st.integers(2, 20).flatmap(lambda K: st.tuples(st.just(K), st.integers(1, K - 1)))


@settings(max_examples=40)
@given(SIZES, st.integers(0, 2**31 - 1))
def test_graphs_are_regular_symmetric_connected_and_repeatable(size, seed) -> None:
    K, k = size
    if not exists(K, k):
        with pytest.raises(ValueError, match=f"there is no {k}-regular graph on {K} answers"):
            regular_graph(K, k, seed)
        return
    graph = regular_graph(K, k, seed)
    assert (graph.sum(axis=1) == k).all()
    assert (graph == graph.T).all()
    assert not graph.diagonal().any()
    parts = connected_components(graph)[0]
    assert parts == (1 if k >= 2 or K == 2 else K // 2)
    assert (regular_graph(K, k, seed) == graph).all()


@settings(max_examples=40)
@given(SIZES, st.integers(0, 2**31 - 1))
def test_bipartite_graphs_are_regular_on_both_sides_and_connected(size, seed) -> None:
    K, k = size
    graph = regular_bipartite_graph(K, k, seed)
    assert (graph.sum(axis=0) == k).all()
    assert (graph.sum(axis=1) == k).all()
    both = np.block([[np.zeros((K, K)), graph], [graph.T, np.zeros((K, K))]])
    assert connected_components(both)[0] == (1 if k >= 2 else K)
    assert (regular_bipartite_graph(K, k, seed) == graph).all()


@pytest.mark.parametrize(("K", "k"), [(3, 0), (3, 4), (2, -1)])
def test_designs_that_there_are_none_of(K: int, k: int) -> None:
    with pytest.raises(ValueError, match="there is no"):
        regular_graph(K, k, 0)
    with pytest.raises(ValueError, match="cannot each meet"):
        regular_bipartite_graph(K, k, 0)


def test_every_labelling_is_drawn_about_equally_often() -> None:
    """The 12 pentagons on 5 answers, 3,000 seeds: chi-square with 11 degrees of freedom, below its 99.9% quantile."""
    pentagon = np.roll(np.eye(5, dtype=bool), 1, axis=0)
    pentagon |= pentagon.T
    labellings = {pentagon[np.ix_(order, order)].tobytes() for order in permutations(range(5))}
    assert len(labellings) == 12
    counts = dict.fromkeys(labellings, 0)
    for seed in range(3000):
        counts[regular_graph(5, 2, seed).tobytes()] += 1
    assert sum((c - 250) ** 2 / 250 for c in counts.values()) < 31.26


def criterion(graph) -> float:
    eigenvalues = np.linalg.eigvalsh(np.diag(graph.sum(axis=1)) - graph.astype(float))[1:]
    return float((1 / eigenvalues).sum())


@pytest.mark.parametrize(("K", "k"), [(8, 3), (8, 4), (12, 4), (16, 6)])
def test_the_graph_is_better_connected_than_random_regular_ones(K: int, k: int) -> None:
    """A-optimality against networkx's uniform draws, which are a dependency of torch and of nothing here."""
    import networkx

    drawn = [networkx.random_regular_graph(k, K, seed) for seed in range(30)]
    random = [criterion(networkx.to_numpy_array(g) > 0) for g in drawn if networkx.is_connected(g)]
    assert criterion(regular_graph(K, k, 0)) <= np.mean(random) + 1e-9


def test_the_fano_plane_is_found() -> None:
    """Seven opponents by threes: any two samples share exactly one opponent, the best design there is."""
    graph = regular_bipartite_graph(7, 3, 0).astype(int)
    np.testing.assert_array_equal(graph @ graph.T, np.ones((7, 7)) + 2 * np.eye(7))


def test_more_answers_than_can_be_searched_are_still_regular() -> None:
    assert (regular_graph(150, 12, 0).sum(axis=1) == 12).all()
    assert (regular_bipartite_graph(60, 7, 0).sum(axis=0) == 7).all()


def test_repeated_answers_are_not_paid_for_and_cheap_prompts_are_judged_whole() -> None:
    distinct = list("abcdef")
    assert pairs_to_ask(distinct, None, 2, 0).sum() == 6 + 12  # the diagonal and both halves of six edges
    assert pairs_to_ask(distinct, None, 5, 0).all()
    # Four different answers are six questions, which the six edges may cost; five are ten.
    assert pairs_to_ask(list("abcddd"), None, 2, 0).all()
    assert pairs_to_ask(list("abcdee"), None, 2, 0).sum() == 18
    assert pairs_to_ask(["a"] * 6, None, 1, 0).all()


def test_samples_against_opponents() -> None:
    assert pairs_to_ask(list("abcd"), list("efgh"), 2, 0).sum() == 8
    assert pairs_to_ask(list("abcd"), list("efgh"), 4, 0).all()
    assert pairs_to_ask(list("abcd"), list("eeff"), 2, 0).all(), "eight questions in all"
    assert pairs_to_ask(list("abcd"), list("abcd"), 2, 0).all(), "six questions in all"
    assert pairs_to_ask(list("abcd"), list("abcd"), 1, 0).sum() == 4
    assert pairs_to_ask(list("aabb"), list("abab"), 1, 0).all(), "one question in all"
