"""What a judge is: the preference oracle P(first > second | prompt), or no verdict, never a guess."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass


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
    """A frozen dataclass of settings that answers comparisons. One file each, found by its name.

    Attributes:
        symmetric: whether compare(x, a, b) = 1 - compare(x, b, a) holds by construction, so that one presentation
            order is enough; otherwise `comal.judges.oracle` asks both and averages.
        expensive: whether a verdict is worth keeping on disk.
    """

    __slots__ = ()

    symmetric: bool = False
    expensive: bool = True

    @abstractmethod
    def compare(self, comparisons: Sequence[Comparison]) -> list[float | None]:
        """Pr(first ≻ second) in [0, 1] of each comparison, in order; None where there is no verdict.

        Raises:
            JudgeError: the judge cannot be asked at all (missing model, wrong settings).
        """
