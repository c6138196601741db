"""What the exact interpreter asks of a game: the payoff of every answer against an opponent.

Payoffs are win rates less what a policy wins against itself, so that <p, payoff against p> = 0 in every game:
P(y ≻ p) − ½ of a preference table, w_k(y) − 1/(k + 1) of a population that is shown k answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from comal.games.game import Floats, PreferenceGame
from comal.games.measures import gap_of_payoff, product

Games: TypeAlias = slice | NDArray[np.bool_]


class Payoffs(Protocol):
    """The payoffs of a batch of games.

    Attributes:
        even: win rate of a policy against itself.
        scale: size of the largest payoff of each game, or a bound on it, (B,).
        numbers: how many numbers `slopes` handles for each game.
    """

    @property
    def even(self) -> float:
        """See above."""
        ...

    @property
    def scale(self) -> Floats:
        """See above."""
        ...

    @property
    def numbers(self) -> int:
        """See above."""
        ...

    def against(self, p: Floats) -> Floats:
        """Payoff of every answer against the policies p, (B, n)."""
        ...

    def slopes(self, p: Floats) -> Floats:
        """Derivatives of the row's payoff by the column's mass in p, (B, n, n)."""
        ...

    def gaps(self, payoff: Floats) -> Floats:
        """How far a policy is from an equilibrium, from its own payoffs: 0 there and only there, (B,)."""
        ...

    def kept(self, games: Games) -> Payoffs:
        """Those of some of the games."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class TablePayoffs:
    """Of preference tables: A p; the gap is the duality gap.

    Attributes:
        A: P − ½, (B, n, n), skew.
        scale: largest entry of each, (B,).
    """

    A: Floats
    scale: Floats
    even: float = 0.5

    @property
    def numbers(self) -> int:
        """Entries of a table."""
        return int(self.A.shape[-1]) ** 2

    def against(self, p: Floats) -> Floats:
        """See `Payoffs`."""
        return product(self.A, p)

    def slopes(self, p: Floats) -> Floats:  # noqa: ARG002
        """See `Payoffs`: the same everywhere."""
        return self.A

    def gaps(self, payoff: Floats) -> Floats:
        """See `Payoffs`."""
        return gap_of_payoff(payoff)

    def kept(self, games: Games) -> TablePayoffs:
        """See `Payoffs`."""
        return TablePayoffs(self.A[games], self.scale[games])


class HasPayoffs(Protocol):
    """A game that knows its own payoffs, such as a population shown k answers."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def n(self) -> int:
        """Number of answers."""
        ...

    @property
    def batch(self) -> int | None:
        """Number of games of a batch; None for a single one."""
        ...

    def payoffs(self) -> Payoffs:
        """Of the batch; a single game is a batch of one."""
        ...


Game: TypeAlias = PreferenceGame | HasPayoffs
"""What the exact interpreter plays."""


def payoffs_of(game: Game) -> Payoffs:
    """The payoffs of a game or batch; a single game is a batch of one."""
    if not isinstance(game, PreferenceGame):
        return game.payoffs()
    A = game.A if game.batch is not None else game.A[None]
    return TablePayoffs(A, np.abs(A).max(axis=(1, 2)))
