"""Named games, each with its source: `paper`, `random:n=50,seed=3`.

One function a game; its keywords are the parameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from comal.errors import ConfigError, GameError, near_match
from comal.games.game import Floats, PreferenceGame

T = TypeVar("T")


def paper() -> PreferenceGame:
    """Three answers, b ≻ a and c ≻ b at .9, a ≻ c at .8; Nash policy (4, 3, 4)/11."""
    P = np.array([[0.5, 0.1, 0.8], [0.9, 0.5, 0.1], [0.2, 0.9, 0.5]])
    return PreferenceGame(P, ("a", "b", "c"), "paper", "COMAL, Liu et al. 2024, arXiv 2410.23223, synthetic experiment")


def rock_paper_scissors(n: int = 3, win: float = 1.0) -> PreferenceGame:
    """An odd number of answers in a circle, each beating the (n−1)/2 before it with probability `win`; Nash uniform."""
    if n < 3 or n % 2 == 0:
        raise ValueError(f"need an odd n ≥ 3, got {n}")
    if not 0.5 < win <= 1:
        raise ValueError(f"need 0.5 < win ≤ 1, got {win}")
    ahead = (np.arange(n)[:, None] - np.arange(n)[None, :]) % n
    P = np.where(ahead == 0, 0.5, np.where(ahead <= (n - 1) // 2, win, 1 - win))
    labels = ("rock", "paper", "scissors") if n == 3 else ()
    return PreferenceGame(P, labels, "rock_paper_scissors", "folklore; as a preference, Condorcet 1785")


def weighted_rock_paper_scissors(rock: float = 0.1, paper: float = 0.3, scissors: float = 0.4) -> PreferenceGame:
    """Rock-paper-scissors with three margins, each by which that answer loses; Nash ∝ the margins opposite."""
    margins = {"rock": rock, "paper": paper, "scissors": scissors}
    for label, margin in margins.items():
        if not 0 < margin <= 0.5:
            raise ValueError(f"need 0 < {label} ≤ 0.5, got {margin}")
    A = np.zeros((3, 3))
    A[1, 0], A[2, 1], A[0, 2] = rock, paper, scissors
    return PreferenceGame(
        0.5 + A - A.T,
        tuple(margins),
        "weighted_rock_paper_scissors",
        "weighted circles, Fisher & Ryan 1992, Optimal strategies for a generalized scissors, paper, and stone game",
    )


def rock_paper_scissors_copy() -> PreferenceGame:
    """Rock-paper-scissors with a second, equal rock: the Nash policies form a segment."""
    order = [0, 0, 1, 2]
    P = rock_paper_scissors().P[np.ix_(order, order)]
    return PreferenceGame(
        P,
        ("rock", "rock again", "paper", "scissors"),
        "rock_paper_scissors_copy",
        "invariance to redundant answers, Balduzzi et al. 2018, arXiv 1806.02643",
    )


def condorcet(n: int = 5, margin: float = 1e-4, seed: int = 0) -> PreferenceGame:
    """The first answer beats every other one by `margin` only, the others at random: Nash is the first answer alone."""
    if not 0 < margin <= 0.5:
        raise ValueError(f"need 0 < margin ≤ 0.5, got {margin}")
    P = np.array(random(n, seed).P)
    P[0, 1:], P[1:, 0] = 0.5 + margin, 0.5 - margin
    return PreferenceGame(P, (), "condorcet", "Condorcet 1785, Essai sur l'application de l'analyse")


def bradley_terry(n: int = 5, spread: float = 1.0, seed: int = 0) -> PreferenceGame:
    """Transitive: Pr(i ≻ j) = sigmoid(r_i − r_j), r normal times `spread`; Nash is the best answer."""
    _check_size(n)
    r = spread * np.random.default_rng(seed).standard_normal(n)
    upper: Floats = np.triu(1 / (1 + np.exp(r[None, :] - r[:, None])), 1)
    return PreferenceGame(_fill(upper), (), "bradley_terry", "Bradley & Terry 1952, Biometrika 39 (3/4)")


def random(n: int = 10, seed: int = 0) -> PreferenceGame:
    """Every Pr(i ≻ j), i < j, uniform on [0, 1]; the Nash policy is unique and supported on about half the answers."""
    _check_size(n)
    upper: Floats = np.triu(np.random.default_rng(seed).random((n, n)), 1)
    return PreferenceGame(
        _fill(upper), (), "random", "Fisher & Reeves 1995, Optimal strategies for random tournament games"
    )


def all_ties(n: int = 3) -> PreferenceGame:
    """Nobody prefers anything: every policy is a Nash policy."""
    _check_size(n)
    return PreferenceGame(np.full((n, n), 0.5), (), "all_ties", "the trivial game")


NAMED: Mapping[str, Callable[..., PreferenceGame]] = MappingProxyType(
    {
        make.__name__: make
        for make in (
            paper,
            rock_paper_scissors,
            weighted_rock_paper_scissors,
            rock_paper_scissors_copy,
            condorcet,
            bradley_terry,
            random,
            all_ties,
        )
    }
)
"""Every named game; the first line of its docstring says what it is."""


def named_game(spec: str) -> PreferenceGame:
    """The game called `name` or `name:key=value,key=value`, e.g. `random:n=50,seed=3`.

    Raises:
        ConfigError: unknown name, parameter or value.
    """
    game = made(spec, NAMED, "game")
    return PreferenceGame(game.P, game.labels, spec, game.citation)


def made(spec: str, makers: Mapping[str, Callable[..., T]], kind: str) -> T:
    """What the maker called `name` makes of the keywords in `name:key=value,key=value`.

    Raises:
        ConfigError: unknown name, parameter or value.
    """
    name, _, rest = spec.partition(":")
    if name not in makers:
        raise ConfigError(kind, f"`{name}` is neither a named {kind} nor a file.{near_match(name, makers)}")
    make = makers[name]
    values = _arguments(rest, f"{kind} {name}", inspect.signature(make).parameters)
    try:
        return make(**values)
    except (ValueError, GameError) as error:
        raise ConfigError(f"{kind} {spec}", str(error)) from error


def _arguments(text: str, place: str, takes: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """The keywords, as the types of their defaults."""
    values: dict[str, Any] = {}
    for item in filter(None, text.split(",")):
        key, equals, value = item.partition("=")
        key = key.strip()
        if not equals:
            raise ConfigError(place, f"`{item}` is not `parameter=value`")
        if key not in takes:
            known = near_match(key, takes) if takes else " It takes none"
            raise ConfigError(place, f"no parameter `{key}`.{known}")
        kind = type(takes[key].default)
        try:
            values[key] = kind(value)
        except ValueError as error:
            wanted = "a whole number" if kind is int else "a number"
            raise ConfigError(place, f"{key} is {wanted}, got `{value}`") from error
    return values


def _check_size(n: int) -> None:
    if n < 1:
        raise ValueError(f"need n ≥ 1, got {n}")


def _fill(upper: Floats) -> Floats:
    """A preference table from its part above the diagonal."""
    n = len(upper)
    P: Floats = upper + np.tril(1 - upper.T, -1)
    P[np.arange(n), np.arange(n)] = 0.5
    return P
