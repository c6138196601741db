"""Many questions at once, each in a thread: answers as they come, and a good order when something ends it.

Several may ask by the threads of one pool: how many threads it has is how many questions of all of them are in flight.
"""

from __future__ import annotations

import concurrent.futures
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


def answers(
    questions: Iterable[Asked],
    ask: Callable[[Asked], Answer],
    pool: concurrent.futures.Executor,
    at_once: Callable[[], int],
    stop: Callable[[], None],
) -> Iterator[list[Answer]]:
    """Keep questions in flight; after an error, or Ctrl-C, wait for those that are, and then raise it.

    Args:
        questions: asked in their order.
        ask: answers one; runs in a thread.
        pool: the threads.
        at_once: of these questions, how many are in flight at most, from now on.
        stop: keeps `ask` from beginning anything new; it may be called several times.

    Yields:
        Answers that came together, not in the order of the questions.

    Raises:
        BaseException: the first that `ask` raised, or KeyboardInterrupt, after everything that was answered.
    """
    running: set[concurrent.futures.Future[Answer]] = set()
    try:
        yield from _answers(iter(questions), ask, at_once, stop, pool, running)
    finally:
        stop()
        concurrent.futures.wait([future for future in running if not future.cancel()])


def _answers(
    waiting: Iterator[Asked],
    ask: Callable[[Asked], Answer],
    at_once: Callable[[], int],
    stop: Callable[[], None],
    pool: concurrent.futures.Executor,
    running: set[concurrent.futures.Future[Answer]],
) -> Iterator[list[Answer]]:
    stopped_by: BaseException | None = None
    while True:
        if stopped_by is None:
            room = max(0, at_once() - len(running))
            running |= {pool.submit(ask, question) for question in itertools.islice(waiting, room)}
        if not running:
            break
        try:
            done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
        except KeyboardInterrupt as interrupt:
            if stopped_by is not None:
                raise
            stopped_by = interrupt
            stop()
            continue
        running -= done
        part: list[Answer] = []
        for future in done:
            error = future.exception()
            if error is None:
                part.append(future.result())
            elif stopped_by is None:
                stopped_by = error
                stop()
        if part:
            yield part
    if stopped_by is not None:
        raise stopped_by
