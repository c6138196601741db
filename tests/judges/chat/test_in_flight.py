"""Many questions at once, and Ctrl-C among them."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from comal.judges.chat.in_flight import answers
from openai_judge import QUESTIONS, judge
from scripted_server import Send, log_probs, serving
from waiting import LIMIT, wait_until

pytestmark = pytest.mark.usefixtures("nothing_known_nor_spent")


@pytest.fixture
def interrupts():
    """Ctrl-C as in a terminal: a shell that starts a job in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_an_interrupted_judge_hands_over_what_is_in_flight_before_it_ends():
    handed_over, interrupted = [], threading.Event()

    def script(number, body):
        if number == 10:
            wait_until(lambda: len(handed_over) == 9, "what came before")
            time.sleep(0.5)  # by now the judge waits for nothing but these
            os.kill(os.getpid(), signal.SIGINT)
            interrupted.set()
        if number >= 9:
            assert interrupted.wait(LIMIT)
        return Send(log_probs(number, body), delay=1.5 if number >= 9 else 0)

    with serving(script) as server:
        parts = judge(server).compare_in_parts(QUESTIONS)
        with pytest.raises(KeyboardInterrupt):
            handed_over.extend(verdict for part in parts for verdict in part)
        assert len(handed_over) == len(server.answered) == len(server.requests) < len(QUESTIONS)


def test_no_more_are_in_flight_than_now_allowed_and_all_are_answered():
    allowed, lock, now, most, together = [1], threading.Lock(), [0], [0], threading.Event()

    def ask(number):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
            assert now[0] <= allowed[0]
            if now[0] > 1:
                together.set()
        if number:
            assert together.wait(LIMIT)
        with lock:
            now[0] -= 1
            allowed[0] = 3
        return number

    with ThreadPoolExecutor(8) as pool:
        parts = list(answers(range(20), ask, pool, lambda: allowed[0], lambda: None))
    assert parts[0] == [0]
    assert sorted(number for part in parts for number in part) == list(range(20))
    assert 1 < most[0] <= 3


def test_an_error_is_raised_after_what_was_in_flight_and_nothing_is_asked_any_more():
    asked, stops, stopped = [], [], threading.Event()

    def ask(number):
        asked.append(number)
        if number == 2:
            raise ValueError("two")
        assert stopped.wait(LIMIT)
        return number

    def stop():
        stops.append(list(asked))
        stopped.set()

    found = []
    with ThreadPoolExecutor(4) as pool, pytest.raises(ValueError, match="two"):
        found.extend(number for part in answers(range(20), ask, pool, lambda: 4, stop) for number in part)
    assert sorted(asked) == [0, 1, 2, 3]
    assert sorted(found) == [0, 1, 3]
    assert stops


def test_who_stops_listening_stops_the_asking():
    asked, stops = [], []
    with ThreadPoolExecutor(1) as pool:
        parts = answers(
            iter(range(20)), lambda number: asked.append(number) or number, pool, lambda: 1, lambda: stops.append(1)
        )
        assert next(parts) == [0]
        parts.close()
    assert asked == [0]
    assert stops
