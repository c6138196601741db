"""Named populations: `majority:share=0.51`, `rankings:users=25,answers=10,seed=3`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from comal.games.named import made
from comal.games.populations.population import PopulationGame

_COLLAPSE = "Cai & Zheng 2026, arXiv 2601.08777, where the Nash policy collapses to the majority's answer"


def majority(share: float = 0.51) -> PopulationGame:
    """Two answers and two users, `share` of whom prefer a and the others b."""
    if not 0 < share < 1:
        raise ValueError(f"need 0 < share < 1, got {share}")
    return PopulationGame(
        np.array([[1.0, 0.0], [0.0, 1.0]]),
        np.array([share, 1 - share]),
        labels=("a", "b"),
        name="majority",
        citation=_COLLAPSE,
    )


def cycle(answers: int = 3) -> PopulationGame:
    """As many users as answers, each ranking them in the same circle but beginning at another one."""
    if answers < 2:
        raise ValueError(f"need answers ≥ 2, got {answers}")
    places = (np.arange(answers)[None, :] - np.arange(answers)[:, None]) % answers
    return PopulationGame(-places.astype(np.float64), name="cycle", citation="Condorcet 1785")


def rankings(users: int = 25, answers: int = 10, seed: int = 0) -> PopulationGame:
    """Users who rank all answers at random, each permutation equally likely."""
    _check_sizes(users, answers)
    order = np.random.default_rng(seed).permuted(np.tile(np.arange(answers), (users, 1)), axis=1)
    return PopulationGame(order.astype(np.float64), name="rankings", citation="impartial culture, Guilbaud 1952")


def plackett_luce(
    users: int = 25, answers: int = 10, spread: float = 2.0, temperature: float = 1.0, seed: int = 0
) -> PopulationGame:
    """Users with utilities normal times `spread`, who choose with Gumbel noise times `temperature`."""
    _check_sizes(users, answers)
    if temperature <= 0:
        raise ValueError(f"need temperature > 0, got {temperature}; `rankings` has users without noise")
    utilities = spread * np.random.default_rng(seed).standard_normal((users, answers))
    citation = "Plackett 1975, Applied Statistics 24; Luce 1959, Individual Choice Behavior"
    return PopulationGame(utilities, None, np.array(temperature), name="plackett_luce", citation=citation)


NAMED_POPULATIONS: Mapping[str, Callable[..., PopulationGame]] = MappingProxyType(
    {make.__name__: make for make in (majority, cycle, rankings, plackett_luce)}
)
"""Every named population; the first line of its docstring says what it is."""


def named_population(spec: str) -> PopulationGame:
    """The population called `name` or `name:key=value,key=value`, shown one answer.

    Raises:
        ConfigError: unknown name, parameter or value.
    """
    return replace(made(spec, NAMED_POPULATIONS, "population"), name=spec)


def _check_sizes(users: int, answers: int) -> None:
    if users < 1 or answers < 1:
        raise ValueError(f"need users ≥ 1 and answers ≥ 1, got {users} and {answers}")
