"""Preference games: tables, measures, the exact Nash policy, the exact and the sampled interpreter of algorithms."""

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
from comal.games.sampled import SampledBackend, Sampling
from comal.games.sampled_runs import SampledRuns, run_sampled
from comal.games.solution import Solution, Trajectory, solve

__all__ = [
    "NAMED",
    "Comparisons",
    "ExactBackend",
    "PreferenceGame",
    "SampledBackend",
    "SampledRuns",
    "Sampling",
    "Solution",
    "Trajectory",
    "best_response",
    "duality_gap",
    "kl",
    "load_game",
    "log_normalise",
    "named_game",
    "nash_policy",
    "read_game",
    "regularised_best_response",
    "regularised_gap",
    "run_sampled",
    "solve",
    "win_rate",
    "win_rates",
]
