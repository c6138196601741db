"""How often a user prefers an answer to k answers drawn from an opponent, for every answer at once, and its slopes.

Both kinds of users here score what they are shown and take the best score, the drawn answers' scores being independent.
With G(s) = Pr(one drawn answer's score < s) an answer wins with probability

    w_k(y) = E[ G(score of y)^k ]

where ties, broken by a coin for each answer, count as scores spread evenly over one interval.

**Rankings.** Scores are fixed. F(y) of the opponent's mass lies below y, e(y) in y's class of equals (y included):

    w_k(y) = ∫₀¹ (F(y) + x e(y))^k dx = ((F + e)^{k+1} − F^{k+1}) / ((k + 1) e),   F^k where e = 0

by Gauss-Legendre's nodes, exact for this polynomial, where the quotient would cancel.

**Plackett-Luce.** Scores have Gumbel noise: y is taken from y, Y_1, ..., Y_k with probability θ_y / (θ_y + Σ θ_Y). As
1/c = ∫ e^{−ct} dt and with t = e^z,

    w_k(y) = ∫ θ_y e^z exp(−θ_y e^z) φ(z)^k dz,      φ(z) = Σ_y π(y) exp(−θ_y e^z)

whose integrand is analytic for |Im z| < π/2 and falls exponentially: the trapezoidal rule is exact to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from comal.games.game import Floats
from comal.games.payoffs import Games

_STEP = 0.25  # of the trapezoidal rule: its error is about exp(−π² / step), 1e-17
_NOTHING = 38.0  # exp(−38) is below rounding
MOST_SPREAD = 500.0
"""Of a Plackett-Luce user's utilities over its temperature: beyond, e^spread and the grid grow out of bounds."""


class Choices(Protocol):
    """Users of one kind, in a batch of populations; policies are (B, n)."""

    def rates(self, p: Floats, k: int) -> Floats:
        """The users' weighted w_k(y), (B, n)."""
        ...

    def slopes(self, p: Floats, k: int) -> Floats:
        """Derivatives of `rates`, of the answer in the row by the mass of the one in the column, (B, n, n)."""
        ...

    def kept(self, games: Games) -> Choices:
        """The same for some of the populations."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Rankings:
    """Users who take the answer of the highest utility, ties shared.

    Attributes:
        weights: (B, users).
        order: answers from the least liked to the most, (B, users, n).
        rank: each answer's place in `order`, (B, users, n).
        low: the first place of the answer's class of equals, (B, users, n).
        high: one past the last place of it, (B, users, n).
    """

    weights: Floats
    order: NDArray[np.intp]
    rank: NDArray[np.intp]
    low: NDArray[np.intp]
    high: NDArray[np.intp]

    @classmethod
    def of(cls, utilities: Floats, weights: Floats) -> Rankings:
        """From utilities (B, users, n) and weights (B, users)."""
        n = utilities.shape[-1]
        order = np.argsort(utilities, axis=-1, kind="stable")
        rank = np.argsort(order, axis=-1, kind="stable")
        risen = np.diff(np.take_along_axis(utilities, order, axis=-1), axis=-1) > 0
        first = np.concatenate([np.ones_like(risen[..., :1], shape=(*risen.shape[:-1], 1)), risen], axis=-1)
        last = np.concatenate([risen, np.ones_like(risen, shape=(*risen.shape[:-1], 1))], axis=-1)
        places = np.arange(n)
        low = np.maximum.accumulate(np.where(first, places, 0), axis=-1)
        high = np.minimum.accumulate(np.where(last, places + 1, n)[..., ::-1], axis=-1)[..., ::-1]
        return cls(
            weights, order, rank, np.take_along_axis(low, rank, axis=-1), np.take_along_axis(high, rank, axis=-1)
        )

    def rates(self, p: Floats, k: int) -> Floats:
        """See `Choices`."""
        level, _, shares = self._levels(p, k)
        rates: Floats = np.einsum("bu,buy->by", self.weights, (level**k) @ shares)
        return rates

    def slopes(self, p: Floats, k: int) -> Floats:
        """See `Choices`: mass below an answer raises F, mass in its class raises e."""
        level, nodes, shares = self._levels(p, k)
        steepness = k * level ** (k - 1)
        below = (steepness @ shares) * self.weights[..., None]
        within = (steepness @ (shares * nodes)) * self.weights[..., None]
        total = np.zeros((*p.shape, p.shape[-1]))
        for user in range(self.weights.shape[1]):
            place = self.rank[:, user, None, :]
            low, high = self.low[:, user, :, None], self.high[:, user, :, None]
            total += np.where(place < low, below[:, user, :, None], 0.0)
            total += np.where((place >= low) & (place < high), within[:, user, :, None], 0.0)
        return total

    def kept(self, games: Games) -> Rankings:
        """See `Choices`."""
        return Rankings(self.weights[games], self.order[games], self.rank[games], self.low[games], self.high[games])

    def _levels(self, p: Floats, k: int) -> tuple[Floats, Floats, Floats]:
        """G at the nodes within each answer's class, (B, users, n, nodes), the nodes and their shares."""
        nodes, shares = _quadrature(k // 2 + 1)
        mass = np.take_along_axis(np.broadcast_to(p[:, None, :], self.order.shape), self.order, axis=-1)
        total = np.concatenate([np.zeros_like(mass[..., :1]), np.cumsum(mass, axis=-1)], axis=-1)
        below = np.take_along_axis(total, self.low, axis=-1)[..., None]
        up_to = np.take_along_axis(total, self.high, axis=-1)[..., None]
        return below + nodes * (up_to - below), nodes, shares


@cache
def _quadrature(count: int) -> tuple[Floats, Floats]:
    """Gauss and Legendre's nodes and shares on [0, 1]; exact for polynomials of degree 2 count − 1."""
    nodes, shares = np.polynomial.legendre.leggauss(count)
    return (nodes + 1) / 2, shares / 2


@dataclass(frozen=True, slots=True, eq=False)
class PlackettLuce:
    """Users who take an answer with a probability proportional to its strength θ.

    Attributes:
        survival: exp(−θ_y e^z) on the grid, (B, users · grid, n).
        density: weight · step · θ_y e^z exp(−θ_y e^z), (B, users · grid, n).
    """

    survival: Floats
    density: Floats

    @classmethod
    def of(cls, log_strengths: Floats, weights: Floats) -> PlackettLuce:
        """From log θ (B, users, n), of which only differences within a user matter, and weights (B, users)."""
        B, users, n = log_strengths.shape
        log_theta = log_strengths - log_strengths.max(axis=-1, keepdims=True)
        end = np.log(_NOTHING) - float(log_theta.min())
        z = np.arange(-_NOTHING, end + _STEP, _STEP)
        with np.errstate(under="ignore"):
            hazard = np.exp(log_theta[:, :, None, :] + z[:, None])  # θ e^z
            survival = np.exp(-hazard)
            density = weights[:, :, None, None] * _STEP * hazard * survival
        return cls(survival.reshape(B, users * len(z), n), density.reshape(B, users * len(z), n))

    def rates(self, p: Floats, k: int) -> Floats:
        """See `Choices`."""
        phi = np.einsum("bgy,by->bg", self.survival, p)
        rates: Floats = np.einsum("bgy,bg->by", self.density, phi**k)
        return rates

    def slopes(self, p: Floats, k: int) -> Floats:
        """See `Choices`."""
        phi = np.einsum("bgy,by->bg", self.survival, p)
        slopes: Floats = np.swapaxes(self.density * (k * phi ** (k - 1))[..., None], 1, 2) @ self.survival
        return slopes

    def kept(self, games: Games) -> PlackettLuce:
        """See `Choices`."""
        return PlackettLuce(self.survival[games], self.density[games])
