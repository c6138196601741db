"""Populations of users who are shown several answers: who prefers what, named ones and files, what policies win."""

from comal.games.populations.io import load_population, read_population
from comal.games.populations.measures import best_of_curve, draws_win_rate, favourites_found, majority_policy
from comal.games.populations.named import NAMED_POPULATIONS, named_population
from comal.games.populations.population import PopulationGame

__all__ = [
    "NAMED_POPULATIONS",
    "PopulationGame",
    "best_of_curve",
    "draws_win_rate",
    "favourites_found",
    "load_population",
    "majority_policy",
    "named_population",
    "read_population",
]
