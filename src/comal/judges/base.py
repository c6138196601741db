"""What a judge is: the preference oracle P(first > second | prompt), or no verdict, never a guess."""

from __future__ import annotations

import hashlib
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from comal.errors import JudgeError
from comal.plugins import describe


@dataclass(frozen=True, slots=True)
class Comparison:
    """One question to a judge: of two answers to a prompt, which is preferred? `first` is presented first."""

    prompt: str
    first: str
    second: str

    def swapped(self) -> Comparison:
        """The same question in the other presentation order."""
        return Comparison(self.prompt, self.second, self.first)

    def canonical(self) -> Comparison:
        """The presentation order that a symmetric judge is asked, so that its verdicts are found again."""
        return self if self.first <= self.second else self.swapped()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge said on one comparison.

    Attributes:
        comparison: as it was asked.
        probability: Pr(first ≻ second), or None without a verdict.
        reason: why there is none, in a few words that failures can be counted by ("unparsable", "timed out").
    """

    comparison: Comparison
    probability: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Records:
    """Files in which what was paid for is kept; None keeps nothing.

    Attributes:
        verdicts: the verdict cache.
        spend: what metered judges have spent.
    """

    verdicts: Path | None = None
    spend: Path | None = None


NO_RECORDS = Records()

ROUNDING = 1e-9
"""Of sums of prices: a spend this much over a limit is not over it."""


@dataclass(frozen=True, slots=True)
class Spend:
    """An amount of use.

    Attributes:
        calls: requests put to the service, repeated ones included.
        input_tokens: of the questions.
        output_tokens: of the replies.
        cost: money, in the currency of the prices.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Spend) -> Spend:
        return Spend(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other: Spend) -> Spend:
        return Spend(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))

    def __mul__(self, times: int) -> Spend:
        return Spend(*(getattr(self, f.name) * times for f in fields(self)))

    def covers(self, other: Spend) -> bool:
        """Whether no part of `other` is larger."""
        return all(getattr(self, f.name) + ROUNDING >= getattr(other, f.name) for f in fields(self))

    def __str__(self) -> str:
        money = f", {self.cost:,.4f} of money" if self.cost else ""
        return f"{self.calls:,} calls, {self.tokens:,} tokens{money}"


class Judge(ABC):
    """A frozen dataclass of settings that answers comparisons. One file each, found by its name."""

    __slots__ = ()

    @property
    def symmetric(self) -> bool:
        """Whether compare(x, a, b) = 1 - compare(x, b, a) holds by construction.

        One presentation order is then enough; of any other judge `comal.judges.asking.oracle` asks both and averages.
        """
        return False

    @property
    def expensive(self) -> bool:
        """Whether a verdict is worth keeping on disk."""
        return True

    @abstractmethod
    def compare(self, comparisons: Sequence[Comparison]) -> list[float | None]:
        """Pr(first ≻ second) in [0, 1] of each comparison, in order; None where there is no verdict.

        Raises:
            JudgeError: the judge cannot be asked at all (missing model, wrong settings).
        """

    def compare_in_parts(
        self,
        comparisons: Sequence[Comparison],
        records: Records = NO_RECORDS,  # noqa: ARG002  for judges that keep something of their own
    ) -> Iterator[list[Verdict]]:
        """The verdicts in any order and in parts, each handed over as soon as it is there.

        The caller keeps a part before it asks for the next, so a judge whose every verdict is paid for overrides this
        and hands them over as they come; when it must stop in the middle it first hands over all that was answered and
        then raises. By default all come in one part, at the end: what a model rounds depends on its batches, so a part
        of them must not survive a kill without the rest.

        Args:
            comparisons: different ones.
            records: files for what the judge itself has to keep.

        Raises:
            JudgeError: as `compare` does.
        """
        if not comparisons:
            return
        probabilities = self.compare(comparisons)
        if len(probabilities) != len(comparisons):
            raise JudgeError(
                str(describe(self)["name"]), f"gave {len(probabilities)} verdicts on {len(comparisons)} comparisons"
            )
        yield [Verdict(comparison, p) for comparison, p in zip(comparisons, probabilities, strict=True)]

    def opened(self, records: Records = NO_RECORDS) -> OpenJudge:
        """The judge with whatever it holds open while many threads ask it; close it in the end.

        Raises:
            JudgeError: the judge cannot be asked.
        """
        return OpenJudge(self, records)

    def check(self) -> None:  # noqa: B027  most judges have nothing to check
        """Find what would stop `compare`, as far as that is possible without loading weights or asking anything.

        Raises:
            JudgeError: the judge cannot be asked.
        """

    def spend_bound(self, prompt_bytes: int, answer_bytes: int, bytes_per_token: float) -> Spend | None:  # noqa: ARG002
        """What one comparison may cost at a metered service, without asking it; None where nothing is metered.

        Args:
            prompt_bytes: of the prompt, in UTF-8.
            answer_bytes: of each of the two answers.
            bytes_per_token: of the judge's tokenizer; 1 makes the result an upper bound for any of them.
        """
        return None

    @property
    def harmless(self) -> frozenset[str]:
        """Names of the settings that change no verdict (a batch size); they may differ when a run is continued."""
        return frozenset()

    def essentials(self) -> dict[str, Any]:
        """The settings without the harmless ones, in JSON types."""
        return {key: value for key, value in describe(self).items() if key not in self.harmless}

    def identity(self) -> dict[str, Any]:
        """All that its verdicts depend on, in JSON types: `essentials`, and whatever they only point to.

        A judge whose settings name something that can change behind them (a folder of weights, a function) adds what
        tells one state of it from another.
        """
        return self.essentials()

    def fingerprint(self) -> str:
        """A digest of `identity`: judges with equal fingerprints share kept verdicts."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()


class OpenJudge:
    """A judge that several threads ask: this one in turns, which is right for models and for anybody's functions."""

    def __init__(self, judge: Judge, records: Records) -> None:
        """Open `judge`, which keeps its own things in `records`."""
        self.judge = judge
        self._records = records
        self._turn = threading.Lock()

    def compare_in_parts(self, comparisons: Sequence[Comparison]) -> Iterator[list[Verdict]]:
        """As `Judge.compare_in_parts`; to be consumed by the thread that calls it.

        Raises:
            JudgeError: as there.
        """
        with self._turn:
            yield from self.judge.compare_in_parts(comparisons, self._records)

    def spent(self) -> Spend | None:
        """What was spent so far, by everybody who counts in the same file; None where nothing is metered."""
        return None

    def stop(self) -> None:
        """Ask nothing new in any thread; what is being answered is handed over, the rest may have no verdict."""

    def close(self) -> None:
        """Let go of what was held open; nobody is asking any more."""
