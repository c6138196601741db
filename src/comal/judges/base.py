"""What a judge is: the preference oracle P(first > second | prompt), or no verdict, never a guess."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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


class Judge(ABC):
    """A frozen dataclass of settings that answers comparisons. One file each, found by its name."""

    __slots__ = ()

    @property
    def symmetric(self) -> bool:
        """Whether compare(x, a, b) = 1 - compare(x, b, a) holds by construction.

        One presentation order is then enough; of any other judge `comal.judges.oracle` asks both and averages.
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

    def check(self) -> None:  # noqa: B027  most judges have nothing to check
        """Find what would stop `compare`, as far as that is possible without loading weights or asking anything.

        Raises:
            JudgeError: the judge cannot be asked.
        """

    def identity(self) -> dict[str, Any]:
        """All that its verdicts depend on, in JSON types: the settings, and whatever they only point to.

        A judge whose settings name something that can change behind them (a folder of weights, a function) adds what
        tells one state of it from another; one with settings that change no verdict (a batch size) leaves those out.
        """
        return describe(self)

    def fingerprint(self) -> str:
        """A digest of `identity`: judges with equal fingerprints share kept verdicts."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()
