"""One judge and its kept verdicts for many threads: what several want at once is asked once.

A comparison is claimed before it is looked for on disk, and let go after its verdict is kept. So of two threads that
want the same one, the second waits for the first's verdict or finds it kept, and the judge is not asked again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Final

from comal.errors import JudgeError
from comal.judges.asking.keeping import keep, open_cache
from comal.judges.asking.oracle import Oracle, OracleStats
from comal.judges.base import Comparison, Judge, Records, Spend, Verdict
from comal.judges.chat.session import NOT_ASKED
from comal.plugins import describe

_NOBODY: Final = None
"""What a claim comes to whose holder failed: somebody else may ask."""

Claim = Future[Verdict | None]


class StoppedError(JudgeError):
    """The judge was told to stop; every verdict that was paid for is kept."""


class SharedJudge:
    """A judge that many threads ask."""

    def __init__(self, judge: Judge, records: Records) -> None:
        """Open `judge` and its kept verdicts.

        Raises:
            JudgeError: it cannot be asked, or a file cannot be used.
        """
        self.judge = judge
        self.cache = open_cache(judge, records)
        self._name = str(describe(judge)["name"])
        self._opened = judge.opened(records)
        self._lock = threading.Lock()
        self._claims: dict[Comparison, Claim] = {}
        self._stopped = False

    def spent(self) -> Spend | None:
        """What was spent so far, by everybody who counts in the same file; None where nothing is metered."""
        return self._opened.spent()

    def stop(self) -> None:
        """Ask nothing new; what is being answered is kept, and who waits for more gets a `StoppedError`."""
        self._stopped = True
        self._opened.stop()

    def close(self) -> None:
        """Stop, and let go of connections and files."""
        self.stop()
        self._opened.close()

    def verdicts(self, comparisons: Sequence[Comparison]) -> tuple[list[Verdict], int]:
        """On different comparisons in any order, kept; and how many of them the judge was asked for by this call.

        Raises:
            StoppedError: the judge was told to stop.
            JudgeError: as `comal.judges.asking.keeping.ask_and_keep`.
        """
        found: list[Verdict] = []
        asked = 0
        left = list(comparisons)
        while left:
            mine, others = self._claim(left)
            # First all of one's own, then the others': nobody waits for somebody who waits for him.
            given, new = self._ask(mine)
            found += given
            asked += new
            theirs = {comparison: claim.result() for comparison, claim in others.items()}
            found += [verdict for verdict in theirs.values() if verdict is not None]
            left = [comparison for comparison, verdict in theirs.items() if verdict is None]
        return found, asked

    def _claim(self, comparisons: Sequence[Comparison]) -> tuple[dict[Comparison, Claim], dict[Comparison, Claim]]:
        mine: dict[Comparison, Claim] = {}
        others: dict[Comparison, Claim] = {}
        with self._lock:
            for comparison in comparisons:
                held = self._claims.get(comparison)
                if held is None:
                    mine[comparison] = self._claims[comparison] = Future()
                else:
                    others[comparison] = held
        return mine, others

    def _ask(self, mine: dict[Comparison, Claim]) -> tuple[list[Verdict], int]:
        """The verdicts on what one has claimed; whatever happens, all claims are let go."""
        left = dict(mine)

        def let_go(comparison: Comparison, verdict: Verdict | None) -> None:
            with self._lock:
                del self._claims[comparison]
            left.pop(comparison).set_result(verdict)

        found: list[Verdict] = []
        asked = 0
        try:
            kept = self.cache.get(list(mine)) if self.cache and mine else {}
            for comparison, probability in kept.items():
                found.append(Verdict(comparison, probability))
                let_go(comparison, found[-1])
            for part in self._parts(list(left)):
                asked += len(part)
                for verdict in part:
                    found.append(verdict)
                    let_go(verdict.comparison, verdict)
        finally:
            for comparison in list(left):
                let_go(comparison, _NOBODY)
        return found, asked

    def _parts(self, comparisons: Sequence[Comparison]) -> Iterator[list[Verdict]]:
        if not comparisons:
            return
        self._refuse_when_stopped()
        unasked = 0
        parts = self._opened.compare_in_parts(comparisons)
        try:
            for part in keep(self.judge, parts, comparisons, self.cache):
                told = [verdict for verdict in part if not (self._stopped and verdict.reason == NOT_ASKED)]
                unasked += len(part) - len(told)
                yield told
        except JudgeError:
            self._refuse_when_stopped()
            raise
        if unasked:  # not before the end: what is in flight is paid for
            self._refuse_when_stopped()

    def _refuse_when_stopped(self) -> None:
        if self._stopped:
            raise StoppedError(self._name, "is asked nothing new: it was told to stop. Every verdict there is was kept")


class SharedOracle(Oracle):
    """An oracle of one thread, of a judge that others ask as well; it counts what this one asked."""

    def __init__(self, shared: SharedJudge, max_failure_rate: float, chunk_size: int = 256) -> None:
        """Ask `shared`; see `Oracle`."""
        super().__init__(shared.judge, max_failure_rate=max_failure_rate, chunk_size=chunk_size)
        self._cache = shared.cache
        self._shared = shared

    def _ask_judge(self, chunk: Sequence[Comparison]) -> dict[Comparison, float]:
        verdicts, asked = self._shared.verdicts(chunk)
        self._stats += OracleStats(judge_calls=asked, cache_hits=len(verdicts) - asked)
        return self._given(verdicts)
