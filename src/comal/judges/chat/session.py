"""Putting many requests to one endpoint: never over the budget, again where that helps, and stopping in good order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import tenacity

from comal.errors import JudgeError
from comal.judges.base import Spend
from comal.judges.chat.api import PLACE, ChatClient, Reply, RequestError
from comal.judges.chat.ledger import Ledger, Limits

NOT_ASKED = "not asked"
"""The reason of a question that was still waiting when the asking was stopped."""
_LIMIT_OPTIONS = {"calls": "max_calls", "tokens": "max_total_tokens", "cost": "max_cost"}


@dataclass(frozen=True, slots=True)
class Prices:
    """Money for a million tokens."""

    input: float
    output: float

    def of(self, calls: int, input_tokens: int, output_tokens: int) -> Spend:
        """The spend with its cost."""
        cost = (input_tokens * self.input + output_tokens * self.output) / 1e6
        return Spend(calls, input_tokens, output_tokens, cost)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try.

    Attributes:
        retries: of a request, after its first attempt.
        backoff: seconds before the first of them at most; doubled each time, and drawn at random below that.
        longest_wait: seconds between two attempts at most; a server that asks for more has an outage.
        outage_after: so many questions in a row without a reply are an outage.
    """

    retries: int
    backoff: float
    longest_wait: float
    outage_after: int


@dataclass
class ChatLine:
    """What all who ask one judge of one process share: connections, what is spent, how the server has been lately.

    Attributes:
        client: puts the requests.
        ledger: counts what is spent.
        limits: of it.
        prices: of tokens.
        patience: how long to try.
        endpoint: in words, for errors.
        changed: guards, and tells of, what follows.
        open: questions with a reservation.
        held: questions in flight, or answered and not yet taken.
        quiet_until: on the monotonic clock: one thread's Retry-After holds for all.
        failures_in_row: questions without a reply since the last that had one.
        answered: whether any question had one.
    """

    client: ChatClient
    ledger: Ledger
    limits: Limits
    prices: Prices
    patience: Patience
    endpoint: str
    changed: threading.Condition = field(default_factory=threading.Condition)
    open: int = 0
    held: int = 0
    quiet_until: float = 0.0
    failures_in_row: int = 0
    answered: bool = False

    def close(self) -> None:
        """Let go of the connections and the count."""
        self.client.close()
        self.ledger.close()


class ChatSession:
    """The shared state of the threads that ask for one caller.

    `stop` ends it in good order: requests in flight get their reply, nothing is asked again, nothing new is sent.
    """

    def __init__(self, line: ChatLine) -> None:
        self._line = line
        self._stopping = threading.Event()

    @property
    def prices(self) -> Prices:
        """Of tokens."""
        return self._line.prices

    @property
    def endpoint(self) -> str:
        """In words."""
        return self._line.endpoint

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Send nothing new, wake whoever waits."""
        self._stopping.set()
        with self._line.changed:
            self._line.changed.notify_all()

    def question(self, bound: Spend) -> Question:
        """A question that costs `bound` at most if nothing must be repeated; use it in a with block.

        Where the budget has no room, waits for questions in flight: they mostly cost less than was reserved.

        Raises:
            JudgeError: the budget has no room.
        """
        line = self._line
        with line.changed:
            while (limit := line.ledger.reserve(bound, line.limits)) is not None:
                if line.open == 0 or self._stopping.is_set():
                    raise self.over_budget(limit, bound)
                line.changed.wait()
            line.open += 1
        return Question(self, line, bound)

    def ask(self, body: Mapping[str, Any], pay: Callable[[], Payment]) -> Reply:
        """Put one request, again as often as patience allows.

        Raises:
            RequestError: no reply, but others may get one.
            JudgeError: an outage, or the budget.
        """
        patience = self._line.patience
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._worth_repeating),
            stop=tenacity.stop_after_attempt(patience.retries + 1) | tenacity.stop_when_event_set(self._stopping),
            wait=self._wait,
            sleep=tenacity.sleep_using_event(self._stopping),
            reraise=True,
        )
        try:
            reply: Reply = attempts(self._attempt, body, pay)
        except RequestError as failure:
            self._count(failure)
            raise
        with self._line.changed:
            self._line.failures_in_row, self._line.answered = 0, True
        return reply

    def over_budget(self, limit: str, bound: Spend) -> JudgeError:
        """The error of a budget without room."""
        option = _LIMIT_OPTIONS[limit]
        ledger = self._line.ledger
        most = getattr(self._line.limits, limit)
        where = (
            f"counted in {ledger.path} over all processes and continuations"
            if ledger.path
            else "counted in this process"
        )
        return JudgeError(
            f"{PLACE}.{option}",
            f"the budget of {most:,} is used up: {ledger.spent()} so far, {where}, and the next question may take"
            f" {bound}. Every verdict there is was kept: raise {option} and type the same command again to continue",
        )

    def _attempt(self, body: Mapping[str, Any], pay: Callable[[], Payment]) -> Reply:
        pause = self._line.quiet_until - time.monotonic()
        if (pause > 0 and self._stopping.wait(pause)) or self._stopping.is_set():
            raise RequestError(NOT_ASKED, "the judge was stopping")
        with pay() as payment:
            try:
                reply = self._line.client.post(body)
            except RequestError as failure:
                if not failure.billed:
                    payment.used = Spend(calls=1)
                raise
            if reply.input_tokens is not None and reply.output_tokens is not None:
                payment.used = self.prices.of(1, reply.input_tokens, reply.output_tokens)
            return reply

    def _worth_repeating(self, error: BaseException) -> bool:
        if not (isinstance(error, RequestError) and error.retry):
            return False
        if error.wait is None:
            return True
        if error.wait > self._line.patience.longest_wait:
            error.fatal = True
            error.detail += f"; it asks to wait {error.wait:,.0f} s"
            return False
        self._line.quiet_until = max(self._line.quiet_until, time.monotonic() + error.wait)
        return True

    def _wait(self, state: tenacity.RetryCallState) -> float:
        assert state.outcome is not None
        error = state.outcome.exception()
        assert isinstance(error, RequestError)
        patience = self._line.patience
        drawn = tenacity.wait_random_exponential(patience.backoff, max=patience.longest_wait)(state)
        # After what the server asked for, not all at once.
        return drawn if error.wait is None else min(error.wait + drawn / 10, patience.longest_wait)

    def _count(self, failure: RequestError) -> None:
        line = self._line
        with line.changed:
            # A question that was understood and declined is no sign of an outage, unless nothing ever worked.
            declined = failure.status in (400, 413, 422) and line.answered
            if failure.reason != NOT_ASKED and not declined:
                line.failures_in_row += 1
            outage = failure.fatal or line.failures_in_row >= line.patience.outage_after
        if outage and not self._stopping.is_set():
            raise self._outage(failure)

    def _outage(self, failure: RequestError) -> JudgeError:
        hints = {
            401: "the key is missing or wrong; it is read from the environment variable that api_key_env names",
            403: "the key may not use this model",
            404: "is the model's name right, and does base_url end where /chat/completions is added (mostly /v1)?",
        }
        known = hints.get(failure.status or 0, "is the server running, and the address right?")
        tried = f" after {self._line.patience.retries + 1} attempts" if failure.retry else ""
        return JudgeError(
            PLACE,
            f"{self.endpoint} gives no answers: {failure.reason}{tried} ({failure.detail}); {known} Every verdict"
            " there is was kept: type the same command again to continue",
        )


class Question:
    """The reservation of one question, which may take several requests."""

    def __init__(self, session: ChatSession, line: ChatLine, bound: Spend) -> None:
        self._session = session
        self._line = line
        self._left = bound

    def __enter__(self) -> Question:
        return self

    def __exit__(self, *_: object) -> None:
        line = self._line
        line.ledger.settle(self._left, Spend())
        with line.changed:
            line.open -= 1
            line.changed.notify_all()

    def ask(self, body: Mapping[str, Any], bound: Spend) -> Reply:
        """One request that costs `bound` at most; see `ChatSession.ask`."""
        return self._session.ask(body, lambda: self._pay(bound))

    def _pay(self, bound: Spend) -> Payment:
        line = self._line
        if self._left.covers(bound):
            self._left -= bound
        elif (limit := line.ledger.reserve(bound, line.limits)) is not None:
            # No waiting here: two questions that wait for each other's room would wait for ever.
            raise self._session.over_budget(limit, bound)
        return Payment(line.ledger, bound)


class Payment:
    """What one attempt is charged: all that was reserved, unless something is known of its true use."""

    def __init__(self, ledger: Ledger, bound: Spend) -> None:
        self._ledger = ledger
        self._bound = bound
        self.used = bound

    def __enter__(self) -> Payment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ledger.settle(self._bound, self.used)
