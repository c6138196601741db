"""The requests that a chat model is sent, and their bound."""

from __future__ import annotations

import pytest

from comal.judges.base import Comparison
from comal.judges.chat import verdict as chat_verdict
from comal.judges.openai import OpenAI
from openai_judge import QUESTIONS, judge
from scripted_server import completion, ignoring, log_probs, serving

pytestmark = pytest.mark.usefixtures("nothing_known_nor_spent")


def test_every_sample_has_a_seed_of_its_own_that_depends_on_the_question_alone():
    seeds = []
    for order in (QUESTIONS[:6], QUESTIONS[5::-1]):
        chat_verdict._FOUND.clear()
        with serving(ignoring) as server:
            judge(server, verdict="samples", samples=3, concurrency=1).compare(order)
        seeds.append(sorted({body["seed"] for body in server.requests}))
    assert seeds[0] == seeds[1]
    assert len(seeds[0]) == 18
    with serving(ignoring) as server:
        judge(server, verdict="samples", samples=2, seed=None, temperature=None).compare(QUESTIONS[:1])
    assert not any("seed" in body or "temperature" in body for body in server.requests)


def test_what_is_sent_follows_the_settings():
    with serving(log_probs) as server:
        judge(
            server, system_prompt="Be fair.", extra_body={"reasoning_effort": "low"},
            limit_field="max_completion_tokens",
        ).compare(QUESTIONS[:1])  # fmt: skip
    (body,) = server.requests
    assert body["messages"][0] == {"role": "system", "content": "Be fair."}
    assert body["reasoning_effort"] == "low"
    assert body["max_completion_tokens"] == 1
    assert "max_tokens" not in body
    own = OpenAI("m")
    assert "max_completion_tokens" in own._form().for_sample(QUESTIONS[0])


def test_the_bound_of_a_question_holds():
    long = Comparison("p" * 100, "a" * 300, "b" * 300)
    with serving(lambda *_: completion("A", {"A": 0.5, "B": 0.5})) as server:
        for options in ({"verdict": "logprobs"}, {"verdict": "samples", "samples": 3}, {"template": "careful"}):
            asked = judge(server, input_price=2.0, output_price=4.0, **options)
            bound = asked.spend_bound(100, 300, 1)
            text = sum(len(m["content"]) for m in asked._form().messages(long))
            times = 1 if options.get("verdict") == "logprobs" else asked.samples
            assert bound.calls == times
            assert bound.input_tokens == times * (text + 256)
            assert bound.output_tokens == (1 if times == 1 else times * 8)
            assert bound.cost == pytest.approx((2 * bound.input_tokens + 4 * bound.output_tokens) / 1e6)
        assert server.requests == []
