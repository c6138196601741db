"""Preference games: a table of how likely each answer is preferred to each other one, checked when it is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from comal.errors import GameError

Floats: TypeAlias = NDArray[np.float64]

TOLERANCE = 1e-9
"""How far P + Pᵀ may be from 1."""
MOST_WINS = 1e15
"""Of a pair; halves are told apart up to here, and nobody counts further."""
_WINS = "--wins"


@dataclass(frozen=True, slots=True, eq=False)
class PreferenceGame:
    """P[i, j] = Pr(answer i ≻ answer j): one game (n, n), or a batch of games of one size (B, n, n).

    Attributes:
        P: probabilities, read-only.
        labels: names of the answers, unique; "0", "1", ... unless given. A batch shares them.
        name: what to call the game in messages and figures.
        citation: where it comes from.

    Raises:
        GameError: not square, not finite, outside [0, 1], P + Pᵀ ≠ 1, or labels that do not fit.
    """

    P: Floats
    labels: tuple[str, ...] = ()
    name: str = "game"
    citation: str = ""

    def __post_init__(self) -> None:
        P = _unstored(as_table(self.P, self.name))
        labels = tuple(str(label) for label in self.labels) or tuple(str(i) for i in range(P.shape[-1]))
        _check_labels(labels, P.shape[-1], self.name)
        _check(P, labels, self.name)
        P.setflags(write=False)
        object.__setattr__(self, "P", P)
        object.__setattr__(self, "labels", labels)

    @classmethod
    def symmetrised(
        cls, P: ArrayLike, labels: Sequence[str] = (), name: str = "game", citation: str = ""
    ) -> PreferenceGame:
        """The game of a noisy table: both readings of every pair averaged, (P + 1 − Pᵀ) / 2.

        Raises:
            GameError: cells that are no probabilities, whose average would look like one: counts, per cent, payoffs.
        """
        table = as_table(P, name)
        names = tuple(labels) or tuple(str(i) for i in range(table.shape[-1]))
        _check_labels(names, table.shape[-1], name)
        _check_probabilities(table, names, name, TOLERANCE)
        _refuse_halves(table, name)
        return cls((table + 1 - np.swapaxes(table, -1, -2)) / 2, tuple(labels), name, citation)

    @classmethod
    def from_counts(
        cls,
        wins: ArrayLike,
        labels: Sequence[str] = (),
        name: str = "game",
        citation: str = "",
        prior: float = 0.0,
    ) -> PreferenceGame:
        """The game of win counts: P[i, j] = (wins[i, j] + prior) / (wins[i, j] + wins[j, i] + 2 prior).

        Raises:
            GameError: a negative count or one of more than 10^15, or a pair never compared while `prior` is 0.
        """
        if not 0 <= prior <= MOST_WINS:
            raise GameError(name, f"a prior of {prior:g} wins; give 0 or more, {MOST_WINS:g} at most")
        counts = as_table(wins, name)
        n = counts.shape[-1]
        names = tuple(labels) or tuple(str(i) for i in range(n))
        _check_labels(names, n, name)
        known = (counts >= 0) & (counts <= MOST_WINS)  # false for NaN
        if not known.all():
            where = _first(~known)
            raise GameError(
                name,
                f"wins{_cell(where, names)} is {counts[where]:g}; counts are finite and not negative, {MOST_WINS:g} at "
                "most",
            )
        games = counts + np.swapaxes(counts, -1, -2) + 2 * prior
        games[..., np.arange(n), np.arange(n)] = 1.0
        if (games == 0).any():
            where = _first(games == 0)
            raise GameError(name, f"{_cell(where, names)} were never compared; give a prior, e.g. --prior 0.5")
        P = (counts + prior) / games
        P[..., np.arange(n), np.arange(n)] = 0.5
        return cls(P, names, name, citation)

    @property
    def n(self) -> int:
        """Number of answers."""
        return int(self.P.shape[-1])

    @property
    def batch(self) -> int | None:
        """Number of games of a batch; None for a single game."""
        return int(self.P.shape[0]) if self.P.ndim == 3 else None

    @property
    def A(self) -> Floats:  # noqa: N802
        """P − ½, skew to the last bit."""
        skew: Floats = (self.P - np.swapaxes(self.P, -1, -2)) / 2
        return skew

    def condorcet_winner(self) -> int | None:
        """The answer preferred to every other one by a majority, if there is one; for a single game.

        Raises:
            GameError: the game is a batch.
        """
        if self.batch is not None:
            raise GameError(self.name, "a batch has a Condorcet winner for each game; ask them one by one")
        beats = (self.P > 0.5).sum(axis=1)
        return int(beats.argmax()) if beats.max() == self.n - 1 else None


def as_table(table: ArrayLike, name: str) -> Floats:
    """Numbers as an array (n, n) or (B, n, n), a copy.

    Raises:
        GameError: no square of real numbers.
    """
    if isinstance(table, np.ndarray) and np.iscomplexobj(table):  # numpy would drop the imaginary parts
        raise GameError(name, "a preference table is a rectangle of numbers: not of complex ones")
    try:
        P = np.array(table, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise GameError(name, f"a preference table is a rectangle of numbers: {error}") from error
    if P.ndim not in (2, 3) or P.shape[-1] != P.shape[-2] or P.size == 0:
        shape = " × ".join(str(size) for size in P.shape) or "a single number"
        raise GameError(name, f"a preference table is square, one row and one column an answer; this one is {shape}")
    return P


def _check_labels(labels: tuple[str, ...], n: int, name: str) -> None:
    if len(labels) != n:
        raise GameError(name, f"{len(labels)} labels for {n} answers")
    if len(set(labels)) != n:
        twice = next(label for label in labels if labels.count(label) > 1)
        raise GameError(name, f"label {twice!r} occurs {labels.count(twice)} times; labels must be unique")


def _unstored(P: Floats) -> Floats:
    """The table with both readings of every pair averaged, where storing it in half or single precision rounded them.

    Such a table holds only numbers of that precision, and misses P + Pᵀ = 1 by less than half a unit in the last place
    of 1; numbers of that precision that are off for another reason are off by more.
    """
    mirrored = np.swapaxes(P, -1, -2)
    with np.errstate(all="ignore"):
        off = np.abs(P + mirrored - 1).max()
        for kind in (np.float16, np.float32):
            if TOLERANCE < off <= np.finfo(kind).eps / 2 and np.array_equal(P.astype(kind).astype(np.float64), P):
                averaged: Floats = (P + 1 - mirrored) / 2
                return averaged
    return P


def _refuse_halves(P: Floats, name: str) -> None:
    """Refuse tables of zeros and ones, or with one reading of every pair left at 0, that only look like probabilities.

    A table of wins in at most one match a pair has zeros on its diagonal and twice 0 where two never met; their average
    would call that even.
    """
    n = P.shape[-1]
    if n < 2:
        return
    upper = np.triu_indices(n, k=1)
    for game in P.reshape(-1, n, n):
        up, down = game[upper], game.T[upper]
        if np.array_equal(up + down, np.ones(len(up))):
            continue
        if np.isin(game, (0.0, 1.0)).all() and not np.diagonal(game).any():
            raise GameError(name, f"holds zeros and ones, and zeros on its diagonal: wins are read with {_WINS}")
        if not np.diagonal(game).any() and ((up == 0) & (down == 0)).any():
            raise GameError(
                name,
                "holds pairs that are 0 both ways, and zeros on its diagonal, as a table does that was never filled in"
                " there: their average would call them even; fill them in, or read wins with "
                f"{_WINS}",
            )
        if not up.any() or not down.any():
            raise GameError(name, "one half of the table is all zeros; fill in both readings of every pair")


def _check_probabilities(P: Floats, labels: tuple[str, ...], name: str, tolerance: float = 0.0) -> None:
    if not np.isfinite(P).all():
        where = _first(~np.isfinite(P))
        raise GameError(name, f"P{_cell(where, labels)} is {P[where]}; every cell must be a number")
    outside = np.maximum(-P, P - 1)
    if outside.max() > tolerance:
        where = _worst(outside)
        raise GameError(
            name,
            f"P{_cell(where, labels)} is {P[where]:g}, not a probability between 0 and 1; counts of wins are read with "
            f"{_WINS}, per cent or payoffs have to be made probabilities first",
        )


def _check(P: Floats, labels: tuple[str, ...], name: str) -> None:
    _check_probabilities(P, labels, name)
    mirrored = np.swapaxes(P, -1, -2)
    off = np.abs(P + mirrored - 1)
    if off.max() > TOLERANCE:
        where = _worst(off)
        *_, i, j = where
        if i == j:
            raise GameError(name, f"P{_cell(where, labels)} is {P[where]:.10g}; an answer against itself is 0.5")
        back = (*where[:-2], j, i)
        raise GameError(
            name,
            f"P{_cell(where, labels)} + P{_cell(back, labels)} must be 1 but is {P[where]:.10g} + {P[back]:.10g} = "
            f"{P[where] + P[back]:.10g}; mend the wrong one, or symmetrise the table (--symmetrise) if it is noisy",
        )


def _first(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(mask)[0])


def _worst(badness: Floats) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(badness.argmax()), badness.shape))


def _cell(where: tuple[int, ...], labels: tuple[str, ...]) -> str:
    *game, i, j = where
    prefix = f"[game {game[0]}]" if game else ""
    return f"{prefix}[{labels[i]}, {labels[j]}]"
