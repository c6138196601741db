"""A committee of judges that votes: how transitive members make an intransitive whole.

    majority    P = Pr(sum_i w_i X_i > 0) + Pr(sum_i w_i X_i = 0) / 2,   X_i = ±1 independently, Pr(X_i = 1) = p_i
    mean        P = sum_i w_i p_i / sum_i w_i

Members vote independently of one another, each with its own probability p_i; a drawn vote is an even bet. Three equal
members give P = p₁p₂ + p₁p₃ + p₂p₃ − 2p₁p₂p₃. A majority of three transitive members can be cyclic (Condorcet 1785).
The mean asks one member drawn at random; of two equal Bradley-Terry members it has no majority cycles, of three it can.

A member without a verdict abstains: the rest decide. When all abstain there is no verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from comal.judges.asking.keeping import ask_what_is_not_kept
from comal.judges.base import NO_RECORDS, Comparison, Judge, Records, Spend, Verdict


@dataclass(frozen=True, slots=True)
class Committee(Judge):
    """Several judges, one verdict.

    Attributes:
        members: the judges.
        weights: voting weight of each; equal when left out.
        aggregate: `majority` of independent votes, or the `mean` of the members' probabilities.

    Raises:
        ValueError: no members, or weights that do not fit them.
    """

    members: tuple[Judge, ...]
    weights: tuple[float, ...] | None = None
    aggregate: Literal["majority", "mean"] = "majority"

    def __post_init__(self) -> None:
        if not self.members:
            raise ValueError("a committee needs at least one member")
        if self.aggregate not in ("majority", "mean"):
            raise ValueError(f"aggregate: need majority or mean, got {self.aggregate}")
        if self.weights is not None:
            if len(self.weights) != len(self.members):
                raise ValueError(f"weights: need one for each of {len(self.members)} members, got {len(self.weights)}")
            if not all(isfinite(weight) and weight > 0 for weight in self.weights):
                raise ValueError(f"weights: need positive numbers, got {list(self.weights)}")

    @property
    def symmetric(self) -> bool:
        """Whether every member is."""
        return all(member.symmetric for member in self.members)

    @property
    def expensive(self) -> bool:
        """Whether any member is."""
        return any(member.expensive for member in self.members)

    def compare(self, comparisons: Sequence[Comparison]) -> list[float | None]:
        """Every member's verdict on every comparison, aggregated."""
        return self._aggregated([member.compare(comparisons) for member in self.members]) if comparisons else []

    def compare_in_parts(
        self, comparisons: Sequence[Comparison], records: Records = NO_RECORDS
    ) -> Iterator[list[Verdict]]:
        """One part, at the end; but the verdicts of expensive members are kept as each member hands them over."""
        if not comparisons:
            return
        spoken = [ask_what_is_not_kept(member, comparisons, records) for member in self.members]
        yield combined(comparisons, spoken, self._aggregated)

    def _aggregated(self, spoken: Sequence[Sequence[float | None]]) -> list[float | None]:
        # (members, comparisons); None becomes NaN
        p_MN = np.array(spoken, dtype=float)
        present_MN = ~np.isnan(p_MN)
        p_MN = np.where(present_MN, p_MN, 0.5)
        weights = self.weights or (1.0,) * len(self.members)
        aggregate = majority if self.aggregate == "majority" else weighted_mean
        verdicts = aggregate(p_MN, present_MN, weights)
        return [float(p) if voted else None for p, voted in zip(verdicts, present_MN.any(axis=0).tolist(), strict=True)]

    def check(self) -> None:
        """Check every member."""
        for member in self.members:
            member.check()

    def spend_bound(self, prompt_bytes: int, answer_bytes: int, bytes_per_token: float) -> Spend | None:
        """That of all metered members together."""
        bounds = [member.spend_bound(prompt_bytes, answer_bytes, bytes_per_token) for member in self.members]
        metered = [bound for bound in bounds if bound is not None]
        return sum(metered, Spend()) if metered else None

    def essentials(self) -> dict[str, Any]:
        """The settings, without those of members that change no verdict."""
        return Judge.essentials(self) | {"members": [member.essentials() for member in self.members]}

    def identity(self) -> dict[str, Any]:
        """The settings, with all that the members' verdicts depend on."""
        # `describe` alone would miss what members add to their own identity.
        return Judge.identity(self) | {"members": [member.identity() for member in self.members]}


def combined(
    comparisons: Sequence[Comparison],
    spoken: Sequence[Sequence[Verdict]],
    aggregate: Callable[[Sequence[Sequence[float | None]]], list[float | None]],
) -> list[Verdict]:
    """One verdict a comparison of several judges', with the first reason of theirs where there is none."""
    found = aggregate([[verdict.probability for verdict in verdicts] for verdicts in spoken])
    reasons = [next((v.reason for v in said if v.reason is not None), None) for said in zip(*spoken, strict=True)]
    return [
        Verdict(comparison, p, reason if p is None else None)
        for comparison, p, reason in zip(comparisons, found, reasons, strict=True)
    ]


def majority(p_MN: NDArray[np.float64], present_MN: NDArray[np.bool_], weights: Sequence[float]) -> NDArray[np.float64]:
    """Pr(the weighted vote is won) + Pr(it is drawn) / 2, exactly, for independent voters.

    The distribution of the margin is built up voter by voter (the recursion of the Poisson-binomial distribution), so
    the cost grows with the number of different margins, at most 2M + 1 of them for equal weights, and not with 2^M.
    """
    # Margins are sums of the weights as written (0.1 is one tenth), so that a drawn vote is recognised as one.
    distribution: dict[Fraction, NDArray[np.float64]] = {Fraction(0): np.ones(p_MN.shape[1])}
    for p, present, weight in zip(p_MN, present_MN, (Fraction(str(w)) for w in weights), strict=True):
        after: dict[Fraction, NDArray[np.float64]] = {}
        for margin, probability in distribution.items():
            outcomes = ((weight, p * present), (-weight, (1 - p) * present), (Fraction(0), ~present))
            for change, chance in outcomes:
                term = probability * chance
                key = margin + change
                after[key] = after[key] + term if key in after else term
        distribution = after
    won = np.zeros(p_MN.shape[1])
    for margin, probability in distribution.items():
        won += probability * (1.0 if margin > 0 else 0.5 if margin == 0 else 0.0)
    return np.clip(won, 0.0, 1.0)  # rounding can leave 1 + 2e-16


def weighted_mean(
    p_MN: NDArray[np.float64], present_MN: NDArray[np.bool_], weights: Sequence[float]
) -> NDArray[np.float64]:
    """The mean of the present members' probabilities; 1/2 where none is present."""
    w_MN = np.asarray(weights, dtype=float)[:, None] * present_MN
    total = w_MN.sum(axis=0)
    mean = (w_MN * p_MN).sum(axis=0) / np.where(total > 0, total, 1.0)
    return np.clip(np.where(total > 0, mean, 0.5), 0.0, 1.0)
