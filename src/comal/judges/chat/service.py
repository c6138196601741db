"""A chat model that many threads ask at a time: one pool of connections, one budget, one limit of what is in flight."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Iterator, Sequence

from comal.judges.base import Comparison, Judge, OpenJudge, Records, Spend, Verdict
from comal.judges.chat.in_flight import answers
from comal.judges.chat.session import ChatLine, ChatSession
from comal.judges.chat.verdict import VerdictAsker


class ChatService(OpenJudge):
    """Keeps `concurrency` requests in flight, whoever they are for; each caller's come in turn with the others'.

    A reply counts as in flight until its verdict was taken, and so kept: on a machine that does not keep up, replies do
    not pile up that a kill would cost.
    """

    def __init__(
        self,
        judge: Judge,
        records: Records,
        line: ChatLine,
        asker: Callable[[ChatSession], VerdictAsker],
        concurrency: int,
    ) -> None:
        """Serve whoever asks `judge`.

        Args:
            judge: whose questions these are.
            records: where it keeps things.
            line: to the server.
            asker: asks the questions of one session.
            concurrency: requests in flight at most.
        """
        super().__init__(judge, records)
        self._line = line
        self._asker = asker
        self._concurrency = concurrency
        self._pool = concurrent.futures.ThreadPoolExecutor(concurrency, thread_name_prefix="judge")
        self._lock = threading.Lock()
        self._sessions: set[ChatSession] = set()
        self._stopped = False

    def compare_in_parts(self, comparisons: Sequence[Comparison]) -> Iterator[list[Verdict]]:
        """Verdicts as they come, while other threads get theirs.

        Raises:
            JudgeError: the budget has no room for another question, nothing gets answers any more, or log-probs were
                demanded and did not come; verdicts that were in flight are handed over first.
        """
        asked = list(dict.fromkeys(comparisons))
        session = ChatSession(self._line)
        asker = self._asker(session)
        held = _Held(self._line, session, self._concurrency)

        def ask(comparison: Comparison) -> Verdict:
            held.take()
            return asker.ask(comparison)

        with self._lock:
            self._sessions.add(session)
            if self._stopped:
                session.stop()
        try:
            at_once: Callable[[], int] = lambda: self._concurrency if asker.settled else 1  # noqa: E731
            for part in answers(asked, ask, self._pool, at_once, session.stop):
                yield part
                held.give(len(part))
        finally:
            held.give_all()
            with self._lock:
                self._sessions.discard(session)

    def spent(self) -> Spend:
        """What the ledger counts, requests in flight at their upper bound."""
        return self._line.ledger.spent()

    def stop(self) -> None:
        """Requests in flight get their reply; questions that wait get none."""
        with self._lock:
            self._stopped = True
            sessions = list(self._sessions)
        for session in sessions:
            session.stop()

    def close(self) -> None:
        """End the threads, then the connections."""
        self.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._line.close()


class _Held:
    """What the questions of one caller hold of the room that all callers share."""

    def __init__(self, line: ChatLine, session: ChatSession, most: int) -> None:
        self._line = line
        self._session = session
        self._most = most
        self._count = 0

    def take(self) -> None:
        """Wait for room for a question; not where it will not be sent: who holds the room may wait for its end."""
        line = self._line
        with line.changed:
            while line.held >= self._most and not self._session.stopping:
                line.changed.wait()
            line.held += 1
            self._count += 1

    def give(self, count: int) -> None:
        """Its verdicts were taken."""
        with self._line.changed:
            self._count -= count
            self._line.held -= count
            self._line.changed.notify_all()

    def give_all(self) -> None:
        """Nobody will take what there still is."""
        self.give(self._count)
