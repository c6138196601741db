"""Preference games and populations: measures, exact equilibria, the exact and the sampled interpreter of algorithms."""

from comal.games.backend import ExactBackend
from comal.games.comparisons import Comparisons
from comal.games.game import PreferenceGame
from comal.games.io import load_game, read_game
from comal.games.measures import (
    best_response,
    duality_gap,
    kl,
    log_normalise,
    regularised_best_response,
    regularised_gap,
    win_rate,
    win_rates,
)
from comal.games.named import NAMED, named_game
from comal.games.nash import nash_policy
from comal.games.populations import (
    NAMED_POPULATIONS,
    PopulationGame,
    best_of_curve,
    draws_win_rate,
    favourites_found,
    load_population,
    majority_policy,
    named_population,
    read_population,
)
from comal.games.sampled import SampledBackend, Sampling
from comal.games.sampled_runs import SampledRuns, run_sampled
from comal.games.solution import Solution, Trajectory, solve

__all__ = [
    "NAMED",
    "NAMED_POPULATIONS",
    "Comparisons",
    "ExactBackend",
    "PopulationGame",
    "PreferenceGame",
    "SampledBackend",
    "SampledRuns",
    "Sampling",
    "Solution",
    "Trajectory",
    "best_of_curve",
    "best_response",
    "draws_win_rate",
    "duality_gap",
    "favourites_found",
    "kl",
    "load_game",
    "load_population",
    "log_normalise",
    "majority_policy",
    "named_game",
    "named_population",
    "nash_policy",
    "read_game",
    "read_population",
    "regularised_best_response",
    "regularised_gap",
    "run_sampled",
    "solve",
    "win_rate",
    "win_rates",
]
