"""Hypothesis strategies and helpers for preference games."""

import numpy as np
from hypothesis import strategies as st

from comal.games import PreferenceGame


def random_table(n: int, seed: int, ties: bool = False) -> np.ndarray:
    """A preference table with independent uniform entries; with `ties`, from {0, ¼, ½, ¾, 1} only."""
    rng = np.random.default_rng(seed)
    upper = rng.integers(0, 5, (n, n)) / 4 if ties else rng.random((n, n))
    P = np.triu(upper, 1)
    P = P + np.tril(1 - P.T, -1)
    np.fill_diagonal(P, 0.5)
    return P


def random_policy(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(n))


def games(max_n: int = 8, ties: bool | None = None) -> st.SearchStrategy[PreferenceGame]:
    return st.builds(
        lambda n, seed, t: PreferenceGame(random_table(n, seed, t)),
        st.integers(1, max_n),
        st.integers(0, 2**32 - 1),
        st.booleans() if ties is None else st.just(ties),
    )
