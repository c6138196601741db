"""Asking a judge properly: both presentation orders, nothing twice, all counted, no failure turned into a number."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from comal.errors import JudgeError
from comal.judges.asking.keeping import ask_and_keep, open_cache
from comal.judges.base import Comparison, Judge, Records, Verdict
from comal.judges.kept.cache import SPEND_NAME
from comal.plugins import describe

UNSAID = "not said"
"""Of a judge that does not say why it has no verdict."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What an oracle counted that is the same however often the work was interrupted: what files keep.

    Attributes:
        comparisons: what was asked of the oracle.
        questions: different ones among them, call by call; presentation orders are one question, equal answers none.
        failures: questions without a verdict.
        both_orders: questions with a verdict in both presentation orders.
        flips: those of them whose two orders name different winners.
        first_excess: sum over `both_orders` of Pr(the answer presented first wins) − 1/2.
    """

    comparisons: int = 0
    questions: int = 0
    failures: int = 0
    both_orders: int = 0
    flips: int = 0
    first_excess: float = 0.0

    @property
    def failure_rate(self) -> float | None:
        """Share of questions without a verdict; None when nothing was asked."""
        return self.failures / self.questions if self.questions else None

    @property
    def flip_rate(self) -> float | None:
        """Share of questions whose winner depends on the presentation order; None when both orders were never asked."""
        return self.flips / self.both_orders if self.both_orders else None

    @property
    def position_bias(self) -> float | None:
        """Mean of Pr(the answer presented first wins) − 1/2; None when both orders were never asked."""
        return self.first_excess / self.both_orders if self.both_orders else None

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True, slots=True)
class OracleStats(Counts):
    """What an oracle has counted so far; the difference of two is what happened between them.

    Attributes:
        judge_calls: comparisons put to the judge itself, one for each presentation order.
        cache_hits: comparisons answered from disk instead.
    """

    judge_calls: int = 0
    cache_hits: int = 0

    def settled(self) -> Counts:
        """All but who gave the verdicts."""
        return Counts(*(getattr(self, f.name) for f in fields(Counts)))


class Oracle:
    """A judge, asked fairly and not more often than needed.

    Of a question, two answers to a prompt, a symmetric judge is asked one presentation order and any other judge both;
    their mean is the verdict, and if either order has none, there is none. Two equal answers are an even bet and not
    asked.
    """

    def __init__(
        self,
        judge: Judge,
        cache_path: Path | None = None,
        max_failure_rate: float = 0.05,
        chunk_size: int = 256,
        spend_path: Path | None = None,
        repeat: int = 0,
    ) -> None:
        """Make an oracle of `judge`.

        Args:
            judge: whom to ask.
            cache_path: where verdicts of an `expensive` judge are kept; None keeps nothing.
            max_failure_rate: the share of a call's questions that may stay without a verdict.
            chunk_size: comparisons the judge is given at once; its verdicts are kept as it hands them over, which a
                judge that is paid for each does one by one, and at the end of the chunk at the latest.
            spend_path: where a metered judge counts what it has spent; by default `spend.sqlite` beside `cache_path`.
            repeat: how often the judge was asked the same before; verdicts are kept apart for each time.
        """
        if spend_path is None and cache_path is not None:
            spend_path = cache_path.with_name(SPEND_NAME)
        self.judge = judge
        self.max_failure_rate = max_failure_rate
        self.chunk_size = chunk_size
        self._name = str(describe(judge)["name"])
        self._records = Records(cache_path, spend_path)
        self._cache = open_cache(judge, self._records, repeat)
        self._stats = OracleStats()
        self._reasons: dict[Comparison, str] = {}  # of the present call
        self._all_reasons: Counter[str] = Counter()

    @property
    def stats(self) -> OracleStats:
        """A snapshot of the counts; inside `counted`, of those since it began."""
        return self._stats

    @property
    def reasons(self) -> dict[str, int]:
        """Why the judge had no verdict on a comparison put to it, and how often, commonest first."""
        return dict(self._all_reasons.most_common())

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Count from zero inside the block, and on from both afterwards.

        The difference of two snapshots would depend, in the last bits of its sum, on what was counted before.
        """
        before, self._stats = self._stats, OracleStats()
        try:
            yield
        finally:
            self._stats = before + self._stats

    def win_probabilities(self, comparisons: Sequence[Comparison]) -> list[float | None]:
        """Pr(first ≻ second) of each comparison, in order; None where the judge has no verdict.

        Raises:
            JudgeError: more than `max_failure_rate` of the questions failed (what was answered is kept), or the judge
                gave something that is no probability.
        """
        canonical = [comparison.canonical() for comparison in comparisons]
        # A dictionary, not a set: the order of asking must be the same in every run.
        questions = [q for q in dict.fromkeys(canonical) if q.first != q.second]
        self._stats += OracleStats(comparisons=len(comparisons), questions=len(questions))
        self._reasons = {}
        orders = questions if self.judge.symmetric else [order for q in questions for order in (q, q.swapped())]
        answered = self._ask(orders, len(questions))
        verdicts = (
            {q: answered.get(q) for q in questions} if self.judge.symmetric else self._average(questions, answered)
        )
        failures = sum(p is None for p in verdicts.values())
        self._stats += OracleStats(failures=failures)
        if failures > self.max_failure_rate * len(questions):
            raise self._too_many_failures(failures, len(questions))
        return [
            0.5 if q.first == q.second else _oriented(verdicts[q], as_asked=comparison.first == q.first)
            for comparison, q in zip(comparisons, canonical, strict=True)
        ]

    def single_verdicts(self, asked: Sequence[Comparison]) -> dict[Comparison, float]:
        """Pr(first ≻ second) of different answers in exactly the presentation orders given, those without one left out.

        For audits, which look at what `win_probabilities` averages away; kept verdicts are used and kept as there.

        Raises:
            JudgeError: as `win_probabilities`.
        """
        questions = {comparison.canonical() for comparison in asked}
        self._stats += OracleStats(comparisons=len(asked), questions=len(questions))
        answered = self._ask(asked, len(questions))
        failed = {comparison.canonical() for comparison in asked if comparison not in answered}
        self._stats += OracleStats(failures=len(failed))
        if len(failed) > self.max_failure_rate * len(questions):
            raise self._too_many_failures(len(failed), len(questions))
        return answered

    def _ask(self, asked: Sequence[Comparison], num_questions: int) -> dict[Comparison, float]:
        """The verdicts of single presentation orders, from disk or from the judge."""
        answered: dict[Comparison, float] = {}
        failed: set[Comparison] = set()
        # Chunks are cut before the kept verdicts are taken out, so that after a kill the judge sees the very batches
        # that it would have seen: models round a little differently in other batches.
        for start in range(0, len(asked), self.chunk_size):
            chunk = asked[start : start + self.chunk_size]
            kept = self._cache.get(chunk) if self._cache else {}
            answered |= kept
            self._stats += OracleStats(cache_hits=len(kept))
            missing = [comparison for comparison in chunk if comparison not in kept]
            if missing:
                answered |= self._ask_judge(missing)
            failed.update(comparison.canonical() for comparison in missing if comparison not in answered)
            # The call can no longer succeed: stop before the rest is paid for.
            if len(failed) > self.max_failure_rate * num_questions and start + self.chunk_size < len(asked):
                self._stats += OracleStats(failures=len(failed))
                raise self._too_many_failures(len(failed), num_questions)
        return answered

    def _ask_judge(self, chunk: Sequence[Comparison]) -> dict[Comparison, float]:
        given: dict[Comparison, float] = {}
        for part in ask_and_keep(self.judge, chunk, self._cache, self._records):
            self._stats += OracleStats(judge_calls=len(part))
            given |= self._given(part)
        return given

    def _given(self, part: Sequence[Verdict]) -> dict[Comparison, float]:
        """The probabilities; why there are none elsewhere is counted."""
        given: dict[Comparison, float] = {}
        for verdict in part:
            if verdict.probability is not None:
                given[verdict.comparison] = float(verdict.probability)
                continue
            self._all_reasons[verdict.reason or UNSAID] += 1
            if verdict.reason is not None:
                self._reasons.setdefault(verdict.comparison.canonical(), verdict.reason)
        return given

    def _average(
        self, questions: Sequence[Comparison], answered: Mapping[Comparison, float]
    ) -> dict[Comparison, float | None]:
        """The mean of both presentation orders."""
        verdicts: dict[Comparison, float | None] = dict.fromkeys(questions)
        both, flips, excess = 0, 0, 0.0
        for question in questions:
            forth, back = answered.get(question), answered.get(question.swapped())
            if forth is None or back is None:
                continue  # half an answer carries the whole position bias
            verdicts[question] = (forth + 1 - back) / 2
            both += 1
            flips += (forth - 0.5) * (0.5 - back) < 0
            excess += (forth + back - 1) / 2
        self._stats += OracleStats(both_orders=both, flips=flips, first_excess=excess)
        return verdicts

    def _too_many_failures(self, failures: int, num_questions: int) -> JudgeError:
        return JudgeError(
            self._name,
            f"no verdict on {failures} of {num_questions} questions, more than {self.max_failure_rate:.0%}"
            f"{self._why(failures)}. "
            + ("The verdicts there are were kept. " if self._cache else "")
            + "Mend the judge, or raise max_failure_rate",
        )

    def _why(self, failures: int) -> str:
        """` (unparsable: 12, timed out: 3)`, commonest first; nothing where the judge does not say why."""
        if not self._reasons:
            return ""
        reasons = Counter(self._reasons.values()).most_common()
        unsaid = failures - len(self._reasons)
        listed = [f"{reason}: {count}" for reason, count in reasons] + ([f"{UNSAID}: {unsaid}"] if unsaid > 0 else [])
        return f" ({', '.join(listed)})"


def _oriented(p: float | None, *, as_asked: bool) -> float | None:
    return p if as_asked or p is None else 1 - p
