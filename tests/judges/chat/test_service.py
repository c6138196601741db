"""Many callers of one chat model: what was answered is taken before more is asked."""

from __future__ import annotations

import threading

import pytest

from comal.errors import JudgeError
from comal.judges.base import Comparison, Records
from openai_judge import judge
from scripted_server import Send, log_probs, serving
from waiting import LIMIT

pytestmark = pytest.mark.usefixtures("nothing_known_nor_spent")
CONCURRENCY = 3


def questions(caller: int) -> list[Comparison]:
    return [Comparison(f"x{caller}", "a" * i, "b") for i in range(1, 16)]


def test_what_is_not_yet_taken_counts_as_in_flight() -> None:
    """Whatever the timing, a kill costs no more verdicts than are in flight at most."""
    lock, taken, ahead = threading.Lock(), 0, []

    def script(number, body):
        with lock:
            ahead.append(number + 1 - taken)
        return Send(log_probs(number, body))

    def take(caller: int) -> None:
        nonlocal taken
        for part in opened.compare_in_parts(questions(caller)):
            with lock:  # the next question is put only after this
                taken += len(part)
            found.extend(part)

    found: list = []
    with serving(script) as server:
        opened = judge(server, concurrency=CONCURRENCY).opened(Records())
        try:
            callers = [threading.Thread(target=take, args=(caller,)) for caller in range(4)]
            for thread in callers:
                thread.start()
            for thread in callers:
                thread.join()
        finally:
            opened.close()
    assert len(found) == 60
    assert all(verdict.probability is not None for verdict in found)
    assert max(ahead) <= CONCURRENCY


def test_who_leaves_early_keeps_no_room() -> None:
    with serving(lambda number, body: Send(log_probs(number, body))) as server:
        opened = judge(server, concurrency=CONCURRENCY).opened(Records())
        try:
            for caller in range(3):
                parts = opened.compare_in_parts(questions(caller))
                next(parts)
                parts.close()
            assert sum(len(part) for part in opened.compare_in_parts(questions(9))) == 15
        finally:
            opened.close()


def test_callers_who_fail_together_all_end() -> None:
    """What failed holds room until its caller's other questions end, and these may be waiting for room."""
    changed, flying, down = threading.Condition(), {}, False

    def script(number, body):
        nonlocal down
        if number == 0:
            return log_probs(number, body)
        with changed:
            flying[number] = "x1" in str(body["messages"])
            changed.notify_all()
            while True:
                down = down or len({*flying.values()}) == 2  # one of each caller
                if down:
                    changed.notify_all()
                    return Send({"error": {"message": "no"}}, 401)
                if len(flying) == 2 and number == min(flying):
                    del flying[number]
                    return log_probs(number, body)
                changed.wait()

    def take(caller: int) -> None:
        try:
            list(opened.compare_in_parts(questions(caller)))
        except JudgeError as error:
            errors.append(str(error))

    errors: list[str] = []
    with serving(script) as server:
        opened = judge(server, concurrency=2).opened(Records())
        list(opened.compare_in_parts([Comparison("what it does is known now", "a", "b")]))
        callers = [threading.Thread(target=take, args=(caller,), daemon=True) for caller in range(2)]
        for thread in callers:
            thread.start()
        for thread in callers:
            thread.join(LIMIT)
        assert len(errors) == 2
        assert all("gives no answers: refused (401)" in error for error in errors)
        opened.close()
