"""Hypothesis strategies for populations of users."""

import numpy as np
from hypothesis import strategies as st

from comal.games.populations import PopulationGame


def random_population(users: int, n: int, seed: int, ties: bool = False, noisy: bool = False) -> PopulationGame:
    """Users of random weights who rank at random; with `ties` some answers alike, with `noisy` every second by lot."""
    rng = np.random.default_rng(seed)
    ranks = rng.permuted(np.tile(np.arange(n), (users, 1)), axis=1).astype(float)
    utilities = rng.integers(0, 3, (users, n)).astype(float) if ties else ranks
    temperature = np.where(noisy & (np.arange(users) % 2 == 1), rng.uniform(0.2, 2.0, users), 0.0)
    return PopulationGame(utilities, rng.uniform(0.1, 1.0, users), temperature)


def populations(max_users: int = 5, max_n: int = 5, noisy: bool | None = None) -> st.SearchStrategy[PopulationGame]:
    return st.builds(
        random_population,
        st.integers(1, max_users),
        st.integers(1, max_n),
        st.integers(0, 2**32 - 1),
        st.booleans(),
        st.booleans() if noisy is None else st.just(noisy),
    )
