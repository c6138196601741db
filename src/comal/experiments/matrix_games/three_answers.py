"""The three-answer experiment of the COMAL paper: every method from one start on the game with Nash (4, 3, 4)/11."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from comal.algorithms.base import Algorithm
from comal.algorithms.comal import COMAL
from comal.algorithms.inpo import INPO
from comal.algorithms.mwu import MWU
from comal.algorithms.nash_md import NashMD
from comal.algorithms.sppo import SPPO
from comal.errors import ConfigError
from comal.games import PreferenceGame, named_game, solve
from comal.reports.figures.games import Course


def game() -> PreferenceGame:
    """The paper's game."""
    return named_game("paper")


def methods(eta: float, tau: float, inner_steps: int) -> dict[str, Algorithm]:
    """The methods by the names that the figure shows.

    Args:
        eta: step size of all.
        tau: weight of the KL to the reference.
        inner_steps: COMAL's, a reference update.

    Raises:
        ConfigError: numbers that one of them cannot take.
    """
    try:
        return {
            "self-play (MWU, iterative IPO)": MWU(eta),
            "SPPO": SPPO(eta),
            "INPO": INPO(eta, tau),
            "Nash-MD": NashMD(eta, tau),
            f"COMAL, {inner_steps} inner steps": COMAL(inner=INPO(eta, tau), inner_steps=inner_steps, update="copy"),
            "COMAL, certificate": COMAL(inner=INPO(eta, tau)),
        }
    except ValueError as error:
        raise ConfigError("synthetic", str(error)) from error


def courses(steps: int, eta: float, tau: float, inner_steps: int, start: NDArray[np.float64]) -> list[Course]:
    """What each method does in `steps` proximal steps from `start`, shape (3,).

    Raises:
        ConfigError: as `methods`.
        GameError: a start that is no policy of the game.
    """
    found = []
    for name, rule in methods(eta, tau, inner_steps).items():
        # Two products a step at most: Nash-MD's opponent is not the policy whose gap is measured.
        solution = solve(game(), rule, 0.0, 2 * steps + 2, start, "policies")
        trajectory = solution.trajectory
        assert trajectory is not None
        assert trajectory.policies is not None
        within = trajectory.prox_steps <= steps
        found.append(Course(name, trajectory.prox_steps[within], trajectory.gaps[within], trajectory.policies[within]))
    return found
