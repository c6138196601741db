"""One answer or several: the family on populations that are shown k answers, and what draws of its policies win.

Every method gets as many products, and starts from one skewed policy. Its step size is (k + 1)/2: an even share of the
wins is 1/(k + 1), and payoffs shrink with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from comal.algorithms.base import Algorithm
from comal.algorithms.comal import COMAL
from comal.algorithms.inpo import INPO
from comal.algorithms.mwu import MWU
from comal.errors import ConfigError
from comal.games import Trajectory, solve
from comal.games.game import Floats
from comal.games.populations import PopulationGame, draws_win_rate, majority_policy, named_population

EXACT_GAP = 1e-12
SELF_PLAY, FIXED, MOVING = "self-play", "INPO", "COMAL"


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """One method on one population shown k answers."""

    method: str
    trajectory: Trajectory
    policy: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A population shown k answers.

    Attributes:
        k: answers shown.
        equilibrium: the policy of the central path, certified to `EXACT_GAP`.
        gap: its gap.
        win_rate: what k draws of it win against the worst single answer.
        nash_win_rate: the same of the Nash policy, the equilibrium for k = 1.
        start_win_rate: the same of the start.
        majority_win_rate: the same of the majority's one answer.
        ways: the methods.
    """

    k: int
    equilibrium: Floats
    gap: float
    win_rate: float
    nash_win_rate: float
    start_win_rate: float
    majority_win_rate: float
    ways: tuple[Way, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """A population with what was found of it for every k."""

    title: str
    game: PopulationGame
    start: Floats
    nash: Floats
    majority: Floats
    shown: tuple[Shown, ...]


def populations(seed: int) -> Mapping[str, tuple[str, Sequence[int]]]:
    """Titles, with the named population and the numbers of answers shown."""
    return {
        "51% prefer a, 49% b": ("majority:share=0.51", (1, 2, 8)),
        "7 users rank 6 answers": (f"rankings:users=7,answers=6,seed={seed}", (1, 2, 8)),
        "25 users rank 10 answers": (f"rankings:users=25,answers=10,seed={seed}", (1, 2, 4, 8)),
        "25 noisy users, 10 answers": (f"plackett_luce:users=25,answers=10,temperature=0.5,seed={seed}", (1, 2, 4, 8)),
    }


def methods(k: int, tau: float, inner_steps: int) -> dict[str, Algorithm]:
    """The methods at the step size for k.

    Raises:
        ConfigError: numbers that one of them cannot take.
    """
    eta = (k + 1) / 2
    try:
        inner = INPO(eta, tau)
        return {SELF_PLAY: MWU(eta), FIXED: inner, MOVING: COMAL(inner=inner, inner_steps=inner_steps, update="copy")}
    except ValueError as error:
        raise ConfigError("universal", str(error)) from error


def skewed(n: int) -> Floats:
    """Probabilities that fall evenly, from the first answer to the last, which has an n-th of the first one's."""
    weights: Floats = np.arange(n, 0, -1, dtype=np.float64)
    policy: Floats = weights / weights.sum()
    return policy


def study(title: str, spec: str, ks: Sequence[int], products: int, tau: float, inner_steps: int) -> Study:
    """One population, every k, every method with so many products."""
    game = named_population(spec)
    start, majority = skewed(game.n), majority_policy(game)
    nash = solve(game, gap=EXACT_GAP).policy
    found = []
    for k in ks:
        shown = game.showing(k)
        exact = solve(shown, gap=EXACT_GAP)
        ways = []
        for name, rule in methods(k, tau, inner_steps).items():
            solution = solve(shown, rule, 0.0, products, start, "gaps")
            assert solution.trajectory is not None
            ways.append(Way(name, solution.trajectory, solution.policy))
        found.append(
            Shown(
                k=k,
                equilibrium=exact.policy,
                gap=exact.duality_gap,
                win_rate=float(draws_win_rate(shown, exact.policy)),
                nash_win_rate=float(draws_win_rate(shown, nash)),
                start_win_rate=float(draws_win_rate(shown, start)),
                majority_win_rate=float(draws_win_rate(shown, majority)),
                ways=tuple(ways),
            )
        )
    return Study(title, game, start, nash, majority, tuple(found))
