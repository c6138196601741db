"""What a policy is worth to a population that takes the best of several draws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from comal.games.game import Floats
from comal.games.populations.population import PopulationGame


def draws_win_rate(game: PopulationGame, policy: Floats, k: int | None = None) -> Floats:
    """How often k draws of the policy hold the user's choice against the worst single answer: 1 − max_y w_k(y).

    At least k/(k + 1) at the symmetric equilibrium for k, and nowhere more for every population.

    Args:
        game: one population, or a batch.
        policy: (n,) or (B, n).
        k: number of draws; as many as the game shows unless given.

    Returns:
        A number, or one for each population of a batch.
    """
    rate: Floats = 1 - game.win_rates(policy, k).max(axis=-1)
    return rate


def best_of_curve(game: PopulationGame, policy: Floats, draws: Sequence[int]) -> Floats:
    """`draws_win_rate` for each number of draws, (len(draws),); for a single population."""
    return np.array([draws_win_rate(game, policy, k) for k in draws])


def favourites_found(game: PopulationGame, policy: Floats, k: int) -> Floats:
    """How likely each user's highest utility is among k draws of the policy, (users,) or (B, users)."""
    best = game.utilities == game.utilities.max(axis=-1, keepdims=True)
    mass = (best * np.asarray(policy, dtype=np.float64)[..., None, :]).sum(axis=-1)
    found: Floats = 1 - (1 - np.minimum(mass, 1.0)) ** k
    return found


def majority_policy(game: PopulationGame) -> Floats:
    """All mass on the answer that beats the others by most votes on average, the first of several; (n,)."""
    policy = np.zeros(game.n)
    policy[int(game.pairwise().P.mean(axis=-1).argmax())] = 1.0
    return policy
