"""One verdict of a chat model, from servers that send log-probabilities, several replies, or neither."""

from __future__ import annotations

import logging
import math
import time

import pytest

from comal.judges.chat import verdict as chat_verdict
from openai_judge import KEY, QUESTIONS, judge, said
from scripted_server import Send, completion, log_probs, prefer_longer, serving
from waiting import wait_until

pytestmark = pytest.mark.usefixtures("nothing_known_nor_spent")


def test_log_probs_are_normalised_over_all_spellings_of_the_labels():
    def script(number, body):
        if number:  # the first one goes alone
            wait_until(lambda: server.most_in_flight > 1, "another question")
        return log_probs(number, body)

    with serving(script) as server:
        verdicts = judge(server).compare(QUESTIONS)
    expected = [1 / (1 + math.exp(-(0.3 + 0.5 * (len(q.first) - len(q.second))))) for q in QUESTIONS]
    assert verdicts == pytest.approx(expected, abs=1e-12)
    assert len(server.requests) == len(QUESTIONS)
    assert all(body["logprobs"] and body["max_tokens"] == 1 and body["temperature"] == 1 for body in server.requests)
    assert 1 < server.most_in_flight <= 4
    assert set(server.authorizations) == {f"Bearer {KEY}"}


def test_the_first_question_goes_alone():
    company = []

    def script(number, body):
        if number == 0:
            time.sleep(0.2)
            company.append(len(server.requests))
        else:
            wait_until(lambda: server.most_in_flight > 1, "another question")
        return log_probs(number, body)

    with serving(script) as server:
        judge(server).compare(QUESTIONS)
    assert company == [1]
    assert server.most_in_flight > 1
    assert len(server.requests) == len(QUESTIONS)


def test_improbable_labels_are_no_verdict():
    with serving(lambda *_: completion("The", {"A": 0.3, "B": 0.1, "The": 0.6})) as server:
        assert judge(server, min_label_mass=0.5).compare(QUESTIONS[:1]) == [None]
        assert judge(server, min_label_mass=0.39).compare(QUESTIONS[:1]) == pytest.approx([0.75])
    with serving(lambda *_: completion("The", {"The": 0.6, "An": 0.2})) as server:
        assert judge(server, min_label_mass=0.0).compare(QUESTIONS[:1]) == [None]


@pytest.mark.parametrize("sent", [None, {"A": 0.9}])
def test_missing_log_probs_are_an_error_where_they_were_demanded_and_found_out_once_otherwise(caplog, sent):
    """Also where the sampled token's log-probability comes, but no alternatives."""

    def script(number, body):
        return completion("A" if prefer_longer(body) > 0.5 else "B", sent)

    with serving(script) as server:
        verdicts, error = said(judge(server, verdict="logprobs"), QUESTIONS)
        assert verdicts == {}
        assert "sent no log-probabilities" in error
        assert "`samples`" in error
        assert len(server.requests) == 1, "found out before anything else was asked"
        server.requests.clear()
        with caplog.at_level(logging.WARNING):
            asked = judge(server, verdict="auto", samples=3)
            for _ in range(2):
                assert asked.compare(QUESTIONS) == [
                    float(0.3 + 0.5 * (len(q.first) - len(q.second)) > 0) for q in QUESTIONS
                ]
    assert len([r for r in caplog.records if "sends no log-probabilities" in r.message]) == 1
    with_log_probs = [body for body in server.requests if "logprobs" in body]
    assert len(with_log_probs) == 1
    # `n` was ignored, which the first question of samples shows; every vote is then a request of its own.
    assert [body.get("n") for body in server.requests if "n" in body] == [3]
    assert len(server.requests) == 1 + 2 * 3 * len(QUESTIONS)


def test_a_server_that_refuses_the_parameters_is_asked_without_them():
    def script(number, body):
        if "logprobs" in body:
            return Send({"error": {"message": "This model does not support logprobs."}}, 400)
        if body.get("n", 1) > 1:
            return Send({"error": {"message": "Only one completion choice is allowed"}}, 400)
        return completion("B")

    with serving(script) as server:
        assert judge(server, samples=2).compare(QUESTIONS[:4]) == [0.0] * 4
    assert len(server.requests) == 1 + 1 + 2 * 4


def test_log_probs_that_stop_coming_are_an_error_and_not_mixed_with_samples():
    def script(number, body):
        return log_probs(number, body) if number < 5 else completion("A")

    with serving(script) as server:
        verdicts, error = said(judge(server, concurrency=1), QUESTIONS)
    assert len(verdicts) == 5
    assert "sent no log-probabilities" in error


def test_sampled_verdicts_are_shares_of_the_votes_that_can_be_read():
    replies = [
        "A",
        " **B**.",
        "(A)",
        "I think A",
        "a",
        "",
        "A or B",
        "[[A]]",
        "AB",
        "Answer A",
        "<think>B? B!</think>\nA",
    ]
    votes = [1, 0, 1, None, None, None, None, 1, None, None, 1]
    with serving(lambda number, body: completion(replies[: body["n"]])) as server:
        for n in range(2, len(replies) + 1):
            chat_verdict._FOUND.clear()
            asked = judge(server, verdict="samples", samples=n)
            counted = [v for v in votes[:n] if v is not None]
            assert asked.compare(QUESTIONS[:1]) == pytest.approx([sum(counted) / len(counted)])
    assert len(server.requests) == len(replies) - 1, "`n` was taken, so one request brings all"


def test_reasons_come_before_a_last_line_and_the_ready_template_says_so():
    replies = {"Both fine.\nVerdict: A": 1.0, "A is better.\n\n**Verdict: B**\n": 0.0, "verdict:  [B].": 0.0}
    for reply, expected in replies.items():
        with serving(lambda *_, reply=reply: completion(reply)) as server:
            assert judge(server, samples=1, template="reasoned").compare(QUESTIONS[:1]) == [expected]
        assert server.requests[0]["max_tokens"] == 1024
        assert server.requests[0]["messages"][0]["role"] == "system"
    for reply in ("Verdict: A\nNo, wait.", "A", "Verdict: neither", "Verdict:"):
        with serving(lambda *_, reply=reply: completion(reply)) as server:
            verdicts, _ = said(judge(server, samples=1, template="reasoned"), QUESTIONS[:1])
        assert [(v.probability, v.reason) for v in verdicts.values()] == [(None, "unparsable")]


def test_a_question_that_is_declined_for_another_reason_than_its_content_ends_it_at_once():
    with serving(lambda *_: Send({"error": {"message": "unknown field top_logprobz"}}, 422)) as server:
        verdicts, error = said(judge(server, verdict="samples", samples=1), QUESTIONS)
    assert verdicts == {}
    assert "refuses the first question: unknown field top_logprobz" in error
    assert len(server.requests) == 1
