"""The way that an algorithm takes through a game in the exact interpreter."""

import numpy as np

from comal.algorithms.base import Algorithm
from comal.games import ExactBackend, PreferenceGame


def walk(game: PreferenceGame, rule: Algorithm, start: np.ndarray, count: int) -> list[np.ndarray]:
    """Log-policies after each of `count` instructions, the start first."""
    backend = ExactBackend(game, start)
    program = rule.program()
    instruction, found = next(program), [backend.log_policy()[0]]
    for index in range(count):
        instruction = program.send(backend.execute(index, instruction))
        found.append(backend.log_policy()[0])
    return found
