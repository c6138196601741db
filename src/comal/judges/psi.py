"""Psi: another payoff made of the same preferences (Shi et al. 2025, arXiv 2505.20627, problem 1.2).

    max_pi min_pi'  E_{y ~ pi, y' ~ pi'} Psi(P(y > y'))

They show for which Psi a solution keeps what social choice asks for (their Table 1; no ties, Psi continuous at 1/2):

    Condorcet   an answer that beats every other one by a majority is the solution
                if and only if  Psi(t) ≥ Psi(1/2) for t ≥ 1/2 and Psi(t) < Psi(1/2) for t < 1/2
    Smith       nothing outside the Smith set is, the least set whose members each beat all that are not in it
                if and only if  Psi(t) + Psi(1 - t) = 2 Psi(1/2) and Psi(t) < Psi(1/2) for t < 1/2

The second is: the game is symmetric, which is what the interpreters, losses and certificates here rest on. So the
mappings of this file are those of the second kind, scaled to probabilities, Psi(0) = 0 and Psi(1/2) = 1/2:

    power       t^a / (t^a + (1 - t)^a): the log-odds times `exponent` a; above 1 it sharpens, below it evens out
    log_odds    1/2 + logit(t) / (2 bound), cut off at `bound`; for Bradley-Terry preferences logit P is the difference
                of rewards, so this is RLHF's objective where there are rewards, and defined where there are none.
                A step of size eta then goes as far as one of size eta / (2 bound) on the log-odds themselves.
    majority    0, 1/2 or 1, whichever side t is on: not continuous, and Smith consistent all the same (their example
                4.3)

Psi is applied to the judge's probability, both presentation orders averaged. A judge that only says who won is not
changed by any of them, and drawing verdicts by chance before Psi gives another payoff than Psi of their mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from comal.judges.asking.keeping import ask_what_is_not_kept
from comal.judges.base import NO_RECORDS, Comparison, Judge, Records, Spend, Verdict

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Psi(Judge):
    """A judge whose probabilities are mapped; whatever it prefers by a majority stays preferred.

    Its two presentation orders are averaged before the mapping, so flips and position bias are to be audited on the
    judge itself.

    Attributes:
        judge: whose preferences they are.
        mapping: see above.
        exponent: of `power`, above 0.
        bound: of `log_odds`, in nats, above 0.

    Raises:
        ValueError: a number that the mapping needs and has not, or has and does not need.
    """

    judge: Judge
    mapping: Literal["power", "log_odds", "majority"] = "power"
    exponent: float | None = None
    bound: float | None = None

    symmetric: ClassVar[bool] = True

    def __post_init__(self) -> None:
        wanted = {"power": "exponent", "log_odds": "bound", "majority": None}
        if self.mapping not in wanted:
            raise ValueError(f"mapping: need power, log_odds or majority, got {self.mapping}")
        for name in ("exponent", "bound"):
            value = getattr(self, name)
            if (value is not None) != (name == wanted[self.mapping]):
                what = (
                    f"`{self.mapping}` has none; leave it out" if value is not None else f"`{self.mapping}` needs one"
                )
                raise ValueError(f"{name}: {what}")
            if value is not None and not (isfinite(value) and value > 0):
                raise ValueError(f"{name}: need a number above 0, got {value}")

    def of(self, probability: Array) -> Array:
        """The payoffs of probabilities, of their shape; those of t and 1 - t sum to 1."""
        t = np.asarray(probability, dtype=np.float64)
        mapped: Array
        if self.mapping == "majority":
            mapped = np.sign(t - 0.5) / 2 + 0.5
            return mapped
        with np.errstate(divide="ignore"):
            log_odds = np.log(t) - np.log1p(-t)
        if self.exponent is not None:
            decay = np.exp(-np.abs(self.exponent * log_odds))  # of the side that wins
            mapped = np.where(log_odds < 0, decay, 1.0) / (1 + decay)
            return mapped
        assert self.bound is not None
        mapped = 0.5 + np.clip(log_odds, -self.bound, self.bound) / (2 * self.bound)
        return mapped

    @property
    def expensive(self) -> bool:
        """Whether the judge is."""
        return self.judge.expensive

    def compare(self, comparisons: Sequence[Comparison]) -> list[float | None]:
        """The judge's verdicts, mapped; none where it has none in some presentation order."""
        asked = self._orders(comparisons)
        said = dict(zip(asked, self.judge.compare(asked), strict=True)) if asked else {}
        return [self._mapped(comparison, said) for comparison in comparisons]

    def compare_in_parts(
        self, comparisons: Sequence[Comparison], records: Records = NO_RECORDS
    ) -> Iterator[list[Verdict]]:
        """One part, at the end; but what an expensive judge says is kept as it says it, for other mappings too."""
        if not comparisons:
            return
        verdicts = ask_what_is_not_kept(self.judge, self._orders(comparisons), records)
        said = {verdict.comparison: verdict.probability for verdict in verdicts}
        reasons = {verdict.comparison: verdict.reason for verdict in verdicts}
        part = []
        for comparison in comparisons:
            p = self._mapped(comparison, said)
            reason = reasons[comparison] or reasons.get(comparison.swapped()) if p is None else None
            part.append(Verdict(comparison, p, reason))
        yield part

    def _orders(self, comparisons: Sequence[Comparison]) -> list[Comparison]:
        """What the judge is asked, each once."""
        both = comparisons if self.judge.symmetric else [o for c in comparisons for o in (c, c.swapped())]
        return list(dict.fromkeys(both))

    def _mapped(self, comparison: Comparison, said: dict[Comparison, float | None]) -> float | None:
        forth = said[comparison]
        if forth is None:
            return None
        if not self.judge.symmetric:
            back = said[comparison.swapped()]
            if back is None:
                return None
            forth = (forth + 1 - back) / 2
        return float(self.of(np.array(forth)))

    def check(self) -> None:
        """Check the judge."""
        self.judge.check()

    def spend_bound(self, prompt_bytes: int, answer_bytes: int, bytes_per_token: float) -> Spend | None:
        """That of the judge, of both presentation orders where it needs both."""
        bound = self.judge.spend_bound(prompt_bytes, answer_bytes, bytes_per_token)
        return bound if bound is None or self.judge.symmetric else bound * 2

    def essentials(self) -> dict[str, Any]:
        """The settings, without those of the judge that change no verdict."""
        return Judge.essentials(self) | {"judge": self.judge.essentials()}

    def identity(self) -> dict[str, Any]:
        """The settings, with all that the judge's verdicts depend on."""
        return Judge.identity(self) | {"judge": self.judge.identity()}
