"""A population: users who may want opposite things, each a judge of one's own.

Compared two at a time it says what share of its users prefers the first answer,

    P(first ≻ second) = Σ_u share_u · P_u(first ≻ second)

so everything that works on pairs works on it. Unlike a `committee` of the same members, whose one verdict is all that
is left of them, it can be asked user by user (`comal.judges.asking.users`): what several answers at once are worth does
not follow from the mean, since each user takes the best of them.

What a verdict between 0 and 1 says of a user is for `choice` to tell:

    luce      how the user chooses, with noise: of several answers one is taken with odds that are those of the pairs
              (Luce's choice axiom; Plackett and Luce's model of a user with utilities)
    ranked    how sure the judge is of a user who ranks answers: whichever is more likely is preferred, ½ is a tie. A
              user whose two presentation orders name different winners has a tie

A comparison has a verdict where every user has one: the mean over the others would be another population's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, cast

import numpy as np

from comal.errors import JudgeError
from comal.judges.asking.keeping import ask_what_is_not_kept
from comal.judges.asking.users import decided
from comal.judges.base import NO_RECORDS, Comparison, Judge, Records, Spend, Verdict
from comal.judges.committee import Committee, combined
from comal.judges.words.templates import READY
from comal.plugins import describe

_PERSONA = ("system_prompt", "template")


@dataclass(frozen=True, slots=True)
class Population(Judge):
    """Users and how many people each stands for.

    Attributes:
        members: a judge for each user.
        reader: instead of members, one judge that reads in the name of every persona.
        personas: who the users are, in words; each is put before the reader's system prompt.
        weights: how many people each user stands for; equal when left out.
        names: of the users, for tables.
        choice: what a verdict in between says of a user, `luce` or `ranked`.

    Raises:
        ValueError: no users, members and personas at once, a reader that takes no persona, or weights or names that do
            not fit the users.
    """

    members: tuple[Judge, ...] = ()
    reader: Judge | None = None
    personas: tuple[str, ...] = ()
    weights: tuple[float, ...] | None = None
    names: tuple[str, ...] | None = None
    choice: Literal["luce", "ranked"] = "luce"

    def __post_init__(self) -> None:
        if (self.reader is None) != (not self.personas):
            raise ValueError("personas: they need a `reader`, and a reader needs personas")
        if bool(self.members) == bool(self.personas):
            raise ValueError("members: give either `members`, or a `reader` with `personas`, not both or neither")
        if any(not persona.strip() for persona in self.personas) or len(set(self.personas)) < len(self.personas):
            raise ValueError("personas: need different ones, none empty")
        if self.reader is not None and not {field.name for field in fields(cast("Any", self.reader))} >= {*_PERSONA}:
            raise ValueError(
                f"reader: `{describe(self.reader)['name']}` takes no persona; use `openai` or `pairwise_lm`"
            )
        if self.choice not in ("luce", "ranked"):
            raise ValueError(f"choice: need luce or ranked, got {self.choice}")
        _ = self._committee  # its weights are these
        count = len(self.users)
        if self.names is not None and not (len(self.names) == len({*self.names}) == count):
            raise ValueError(f"names: need a different one for each of {count} users, got {list(self.names)}")

    @property
    def users(self) -> tuple[Judge, ...]:
        """A judge for each user."""
        if self.reader is None:
            return self.members
        own = cast("Any", self.reader).system_prompt
        if own is None:  # that of the ready template, which the persona comes before and does not replace
            ready = READY.get(cast("Any", self.reader).template)
            own = None if ready is None else ready.system
        return tuple(
            replace(cast("Any", self.reader), system_prompt=f"{persona}\n\n{own}" if own else persona)
            for persona in self.personas
        )

    @property
    def user_names(self) -> tuple[str, ...]:
        """A name for each user."""
        return self.names or tuple(f"user {number}" for number in range(1, len(self.users) + 1))

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of each user; they sum to 1."""
        weights = self.weights or (1.0,) * len(self.users)
        return tuple(weight / sum(weights) for weight in weights)

    @property
    def _committee(self) -> Committee:
        """The same users, voting by their mean."""
        return Committee(self.users, self.weights, "mean")

    @property
    def symmetric(self) -> bool:
        """Whether every user is."""
        return self._committee.symmetric

    @property
    def expensive(self) -> bool:
        """Whether any user is."""
        return self._committee.expensive

    @property
    def harmless(self) -> frozenset[str]:
        """What the users are called."""
        return frozenset({"names"})

    def compare(self, comparisons: Sequence[Comparison]) -> list[float | None]:
        """The share of users that prefers the first answer."""
        return self._mean([user.compare(comparisons) for user in self.users]) if comparisons else []

    def compare_in_parts(
        self, comparisons: Sequence[Comparison], records: Records = NO_RECORDS
    ) -> Iterator[list[Verdict]]:
        """One part, at the end; but the verdicts of expensive users are kept as each user hands them over."""
        if not comparisons:
            return
        spoken = [_ask_user(user, comparisons, records) for user in self.users]
        yield combined(comparisons, spoken, self._mean)

    def _mean(self, spoken: Sequence[Sequence[float | None]]) -> list[float | None]:
        p_UN = np.array(spoken, dtype=float)  # None becomes NaN, and a mean with it none
        if self.choice == "ranked":
            p_UN = decided(p_UN)
        means = np.asarray(self.shares) @ p_UN
        return [None if np.isnan(p) else float(np.clip(p, 0.0, 1.0)) for p in means]

    def check(self) -> None:
        """Check every user."""
        for name, user in zip(self.user_names, self.users, strict=True):
            try:
                user.check()
            except JudgeError as error:
                raise JudgeError("population", f"{name}: {error}") from error

    def spend_bound(self, prompt_bytes: int, answer_bytes: int, bytes_per_token: float) -> Spend | None:
        """That of all metered users together."""
        return self._committee.spend_bound(prompt_bytes, answer_bytes, bytes_per_token)

    def essentials(self) -> dict[str, Any]:
        """The settings, without those of users that change no verdict."""
        reader = None if self.reader is None else self.reader.essentials()
        return Judge.essentials(self) | {"members": [user.essentials() for user in self.members], "reader": reader}

    def identity(self) -> dict[str, Any]:
        """The settings, with all that the users' verdicts depend on."""
        return self.essentials() | {"users": [user.identity() for user in self.users]}


def _ask_user(user: Judge, comparisons: Sequence[Comparison], records: Records) -> list[Verdict]:
    """A user's verdicts in order; of a symmetric one in the presentation order in which they are kept."""
    if not user.symmetric:
        return ask_what_is_not_kept(user, comparisons, records)
    asked = list(dict.fromkeys(comparison.canonical() for comparison in comparisons))
    said = dict(zip(asked, ask_what_is_not_kept(user, asked, records), strict=True))
    return [_turned(said[comparison.canonical()], comparison) for comparison in comparisons]


def _turned(verdict: Verdict, comparison: Comparison) -> Verdict:
    """The verdict on the same two answers in the order of `comparison`."""
    p = verdict.probability
    if p is not None and verdict.comparison != comparison:
        p = 1 - p
    return Verdict(comparison, p, verdict.reason)
