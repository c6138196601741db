"""Questions to a server that fails in every way: what is asked again, what ends it, and what is kept."""

from __future__ import annotations

import json
import threading
import time

import pytest

from comal.errors import JudgeError
from comal.judges.asking.oracle import Oracle
from comal.judges.base import Records
from comal.judges.chat.api import ChatClient
from openai_judge import KEY, QUESTIONS, judge, said, spent
from scripted_server import Reset, Send, completion, log_probs, serving
from waiting import LIMIT

pytestmark = pytest.mark.usefixtures("nothing_known_nor_spent")


def flaky(failure, times=2):
    """Fails the first `times` attempts of every question, then answers."""
    seen, lock = {}, threading.Lock()

    def script(number, body):
        with lock:
            content = body["messages"][-1]["content"]
            seen[content] = seen.get(content, 0) + 1
        return failure if seen[content] <= times else log_probs(number, body)

    return script


FAILURES = {
    "500": Send({"error": {"message": "oops"}}, 500),
    "503 of no JSON": Send("<html>busy</html>", 503),
    "429": Send({"error": {"message": "slow down"}}, 429),
    "429 with Retry-After": Send({}, 429, {"Retry-After": "0.05"}),
    "reset": Reset(),
    "cut off": Send(completion("A", {"A": 0.5, "B": 0.5}), cut=40),
    "truncated JSON": Send(json.dumps(completion("A"))[:50]),
    "no JSON": Send("hello"),
    "empty": Send(""),
    "no choices": completion("A") | {"choices": []},
    "error in disguise": Send({"error": {"code": 502, "message": "upstream"}}),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_what_may_pass_is_asked_again_and_every_attempt_is_counted(failure, tmp_path):
    asked_of = QUESTIONS[:5]
    with serving(flaky(failure)) as server:
        asked = judge(server)
        verdicts, error = said(asked, asked_of, Records(spend=tmp_path / "spend.sqlite"))
    assert error is None
    assert [verdicts[q].probability is not None for q in asked_of] == [True] * 5
    assert len(server.requests) == 15
    counted = spent(asked, tmp_path / "spend.sqlite")
    assert counted.calls == 15
    unbilled = {"500", "503 of no JSON", "429", "429 with Retry-After", "error in disguise"}
    if failure in [FAILURES[name] for name in unbilled]:
        assert (counted.input_tokens, counted.output_tokens) == (250, 5)
    else:
        assert counted.input_tokens > 250, "what may have been billed stays charged"


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (FAILURES["500"], "server error (500)"),
        (FAILURES["429"], "rate limited (429)"),
        (FAILURES["reset"], "connection broken"),
        (FAILURES["truncated JSON"], "unreadable reply"),
        (FAILURES["no choices"], "empty reply"),
        (Send({"error": {"code": "content_filter", "message": "no"}}, 400), "content filter"),
        (Send({"error": {"code": "context_length_exceeded", "message": "8193 tokens"}}, 400), "too long for the model"),
        (Send({"error": {"message": "bad"}}, 400), "refused (400)"),
        (completion("", finish="content_filter"), "content filter"),
        (completion("The", {"The": 0.9, "A": 0.05}), "labels less probable than 0.5"),
    ],
)
def test_a_question_that_goes_on_failing_has_no_verdict_and_the_others_have(failure, reason):
    bad = {QUESTIONS[3].prompt, QUESTIONS[7].prompt}

    def script(number, body):
        return failure if any(f"\n{p}\n" in body["messages"][-1]["content"] for p in bad) else log_probs(number, body)

    with serving(script) as server:
        asked = judge(server, retries=1)
        verdicts, error = said(asked, QUESTIONS[:10])
        assert error is None
        assert {q.prompt for q in QUESTIONS[:10] if verdicts[q].probability is None} == bad
        assert {verdicts[q].reason for q in QUESTIONS[:10] if q.prompt in bad} == {reason}
        oracle = Oracle(asked, max_failure_rate=0.1)
        with pytest.raises(JudgeError, match="no verdict on 2 of 10 questions") as caught:
            oracle.win_probabilities(QUESTIONS[:10])
    assert f"({reason}: 2)" in str(caught.value)


def test_time_outs(monkeypatch):
    """One question's time is short, and its reply never comes; the others may take their time on a busy machine."""
    over, send = threading.Event(), ChatClient._send

    def hangs(body):
        return "prompt 2\n" in body["messages"][-1]["content"]

    def script(number, body):
        if hangs(body):
            over.wait(LIMIT)
        return log_probs(number, body)

    with serving(script) as server:
        hurried = ChatClient(server.url, None, 0.5, 4)
        monkeypatch.setattr(ChatClient, "_send", lambda self, body: send(hurried if hangs(body) else self, body))
        verdicts, error = said(judge(server, retries=1), QUESTIONS[:5])
        requests = len(server.requests)
        over.set()
        hurried.close()
    assert error is None
    assert [verdicts[q].reason for q in QUESTIONS[:5]] == [None, None, "timed out", None, None]
    assert requests == 6


def test_a_server_that_drips_runs_into_the_time_limit_of_the_whole_request():
    with serving(lambda *_: Send(completion("A" * 40_000), drip=0.05)) as server:  # more than half an hour
        verdicts, _ = said(judge(server, timeout=0.4, retries=0), QUESTIONS[:1])
    assert [v.reason for v in verdicts.values()] == ["timed out"]


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (Send({"error": {"message": f"Incorrect API key provided: {KEY}"}}, 401), "api_key_env"),
        (Send({"error": {"message": "The model `m` does not exist"}}, 404), "does not exist"),
        (Send({"error": {"code": "insufficient_quota", "message": "pay"}}, 429), "quota used up"),
        (Send("", 302, {"Location": "http://elsewhere"}), "refused (302)"),
        (Send({}, 429, {"Retry-After": "3600"}), "it asks to wait 3,600 s"),
    ],
)
def test_what_no_other_question_would_survive_is_an_error_at_once(failure, told):
    with serving(lambda *_: failure) as server:
        verdicts, error = said(judge(server), QUESTIONS)
    assert verdicts == {}
    assert told in error
    assert KEY not in error
    assert len(server.requests) == 1


def test_nobody_there():
    with serving(log_probs) as server:
        asked = judge(server, retries=2)
    verdicts, error = said(asked, QUESTIONS)
    assert verdicts == {}
    assert "gives no answers: unreachable after 3 attempts" in error
    assert asked.base_url in error


def test_an_outage_in_the_middle_is_an_error_after_all_that_was_answered_is_kept(tmp_path):
    down = threading.Event()

    def script(number, body):
        if number >= 12:
            down.set()
        return Send({"error": {"message": "maintenance"}}, 503) if down.is_set() else log_probs(number, body)

    path = tmp_path / "v.sqlite"
    with serving(script) as server:
        asked = judge(server, retries=1)
        with pytest.raises(JudgeError, match=r"server error \(503\) after 2 attempts \(maintenance\).*kept"):
            Oracle(asked, path).win_probabilities(QUESTIONS)
        answered = len(server.answered)
        assert answered == 12
        server.script, before = log_probs, len(server.requests)
        again = Oracle(asked, path)
        again.win_probabilities(QUESTIONS)
        assert again.stats.cache_hits == answered
        assert len(server.requests) - before == again.stats.judge_calls


def test_a_storm_is_waited_out_by_all_and_retry_after_is_honoured():
    begun, early = [], []

    def script(number, body):
        begun.append(time.monotonic())
        if begun[-1] < begun[0] + 0.6:
            early.append(number)
            return Send({}, 429, {"Retry-After": "0.7"})
        return log_probs(number, body)

    with serving(script) as server:
        verdicts, error = said(judge(server), QUESTIONS)
    assert error is None
    assert len(verdicts) == len(QUESTIONS)
    assert len(early) == 1, "the first question goes alone, and nobody asked before its time"
    assert len(server.requests) == len(QUESTIONS) + 1
