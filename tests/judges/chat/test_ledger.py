"""What a metered judge spends: never over its limits, whatever the threads, processes and failures."""

from __future__ import annotations

import dataclasses
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comal.errors import JudgeError
from comal.judges.asking.oracle import Oracle
from comal.judges.base import Spend
from comal.judges.chat import ledger as budget
from comal.judges.chat.ledger import Ledger, Limits
from openai_judge import QUESTIONS, judge, said, spent
from scripted_server import Send, completion, ignoring, log_probs, serving

pytestmark = pytest.mark.usefixtures("nothing_known_nor_spent")


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize(
    ("limit", "option"),
    [
        ({"max_calls": 11}, "max_calls"),
        ({"max_total_tokens": 2500}, "max_total_tokens"),
        ({"max_cost": 0.25}, "max_cost"),
    ],
)
def test_a_budget_stops_before_it_is_exceeded_and_counts_over_continuations(tmp_path, concurrency, limit, option):
    path, prices = tmp_path / "v.sqlite", {"input_price": 100.0, "output_price": 500.0}
    with serving(log_probs) as server:
        asked = judge(server, concurrency=concurrency, **prices, **limit)
        with pytest.raises(JudgeError, match=rf"openai\.{option}: the budget of .* is used up") as caught:
            Oracle(asked, path).win_probabilities(QUESTIONS)
        assert "raise " + option in str(caught.value)
        first = spent(asked, tmp_path / "spend.sqlite")
        answered = len(server.answered)
        assert answered == first.calls > 3
        assert (first.input_tokens, first.output_tokens) == (50 * answered, answered)
        assert first.cost == pytest.approx(answered * (50 * 100 + 500) / 1e6)
        most = limit[option]
        assert getattr(first, {"max_calls": "calls", "max_total_tokens": "tokens", "max_cost": "cost"}[option]) <= most
        if option == "max_calls":
            assert answered == 11, "no room is left unused"
        # Another process would see the same count: nothing more is asked for.
        with pytest.raises(JudgeError, match="used up"):
            Oracle(asked, path).win_probabilities(QUESTIONS)
        assert len(server.answered) - answered <= 0
        # A larger budget goes on, and nothing is paid for twice.
        more = dataclasses.replace(asked, **{option: 1000 * most})
        assert more.fingerprint() == asked.fingerprint()
        Oracle(more, path).win_probabilities(QUESTIONS)
        questions = len({(q.prompt, *sorted((q.first, q.second))) for q in QUESTIONS})
        assert len(server.answered) == 2 * questions
        assert spent(more, tmp_path / "spend.sqlite").calls == 2 * questions


def test_a_storm_does_not_get_round_the_budget_of_calls():
    with serving(lambda *_: Send({}, 429)) as server:
        verdicts, error = said(judge(server, max_calls=5, retries=20), QUESTIONS)
    assert verdicts == {}
    assert "max_calls" in error
    assert len(server.requests) == 5


def test_a_reply_without_usage_is_charged_its_upper_bound():
    with serving(lambda *_: completion("A", {"A": 0.5, "B": 0.5}, usage=None)) as server:
        asked = judge(server, input_price=1.0, output_price=1.0, max_cost=10.0)
        asked.compare(QUESTIONS[:2])
    text = server.requests[0]["messages"][0]["content"]
    assert spent(asked).input_tokens >= 2 * len(text)
    assert spent(asked).output_tokens == 2


def test_room_for_all_samples_is_reserved_before_the_first():
    with serving(ignoring) as server:
        asked = judge(server, verdict="samples", samples=4, max_calls=11)
        verdicts, error = said(asked, QUESTIONS)
    assert "max_calls" in error
    assert len(verdicts) == 2
    assert len(server.requests) == 8, "no verdict was begun that could not be ended"


def test_processes_and_threads_share_a_ledger(tmp_path):
    def take(path):
        ledger = Ledger(path, "j")
        try:
            taken = 0
            while ledger.reserve(Spend(1, 10, 1, 0.5), Limits(calls=100)) is None:
                ledger.settle(Spend(1, 10, 1, 0.5), Spend(1, 4, 1, 0.25))
                taken += 1
            counts.append(taken)
        finally:
            ledger.close()

    for path in (tmp_path / "spend.sqlite", None):
        counts = []
        threads = [threading.Thread(target=take, args=(path,)) for _ in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert sum(counts) == 100
        ledger = Ledger(path, "j")
        assert ledger.spent() == Spend(100, 400, 100, pytest.approx(25.0))
        assert Ledger(None, "another").spent() == Spend()
        ledger.close()


@pytest.mark.parametrize("content", ["not a database " * 100, None])
def test_a_file_that_is_no_ledger_is_named(tmp_path, content):
    path = tmp_path / "spend.sqlite"
    path.write_text(content) if content else path.mkdir()
    with pytest.raises(JudgeError, match=r"spend\.sqlite.*count what a judge spends"):
        Ledger(path, "j")


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 100), st.integers(0, 100)), max_size=20))
def test_no_order_of_reserving_and_settling_gets_over_a_limit(steps):
    budget._OF_THIS_PROCESS.clear()
    ledger, limits = Ledger(None, "p"), Limits(calls=10, tokens=300)
    held = []
    for calls, tokens, used in steps:
        bound = Spend(calls, tokens, 0)
        if ledger.reserve(bound, limits) is None:
            held.append(bound)
        if used % 2 and held:
            one = held.pop()
            ledger.settle(one, Spend(one.calls, min(used, one.input_tokens), 0))
        assert limits.exceeded(ledger.spent()) is None
    for one in held:
        ledger.settle(one, Spend())
