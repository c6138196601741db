"""Whatever a chat server sends: a verdict between 0 and 1, none at all, or one error that says what the server said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comal.errors import JudgeError
from comal.judges.asking.oracle import Oracle
from comal.judges.base import Comparison
from comal.judges.chat import ledger, verdict
from comal.judges.chat.api import ChatClient
from comal.judges.openai import OpenAI
from command_line import comal
from fuzzing import TIERS, Tier, sound
from odd_values import damaged, mutated
from possible_results import audited
from scripted_server import Send, completion, serving
from waiting import LIMIT

WORDS = ("A", "B", " A", "**B**", "", "C", "<think>hm</think>A", "<think>hm", "hm</think>B", "</think>", "\ud800",
         "A\0",          "Verdict: A", "reasons\nVerdict: B", "[[A]]", "▁A", "A" * 3000)  # fmt: skip
QUESTIONS = [Comparison("p", "x", "yy"), Comparison("p", "yy", "zzz")]
FAST = {"model": "m", "retries": 0, "backoff": 1e-3, "longest_wait": 0.002, "concurrency": 1, "timeout": LIMIT}


@st.composite
def completions(draw: st.DrawFn) -> Any:
    """A completion that is nearly right."""
    text = draw(st.lists(st.sampled_from(WORDS), min_size=0, max_size=3))
    top = {"A": 0.5, "B": 0.2, " A": 0.1} if draw(st.booleans()) else None
    return completion(text or draw(st.sampled_from(WORDS)), top, usage=draw(st.sampled_from((None, (50, 1), (0, 0)))))


ERRORS = (
    {"error": {"message": "no", "code": 429, "type": "insufficient_quota"}}, {"error": "gone"}, {"detail": [{"a": 1}]},
    {"message": None}, {"error": {"code": True}}, {"error": {"code": 10**30}}, {"error": []}, {"choices": []},
    {"error": {"message": "context length"}},
)  # fmt: skip
NEAR = (-0.1, 0.7, 42.0, -1e308, "A", " B", None, [], {"token": "A", "logprob": -0.2})
BODIES = damaged(
    mutated(st.one_of(completions(), st.sampled_from(ERRORS)), NEAR).map(lambda plain: json.dumps(plain).encode())
)  # fmt: skip
STATUSES = st.sampled_from((200, 200, 200, 200, 200, 201, 204, 301, 400, 401, 404, 413, 422, 429, 500, 503, 599, 999))
HEADERS = st.one_of(
    st.just({}),
    st.sampled_from(
        ("", "nan", "inf", "-1", "1e400", "0", "soon", "Wed, 21 Oct 2015 07:28:00 GMT",
         "Fri, 31 Dec 9999 23:59:59 -2359",
         "Wed, 21 Oct 2015 07:28:00 +999999", "Wed, 99 Oct 99999 07:28:00 GMT", "0x10", "1_0")
    ).map(lambda text: {"retry-after": text}),
)  # fmt: skip
REPLIES = st.lists(st.tuples(STATUSES, HEADERS, BODIES), min_size=1, max_size=3)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "verdict": st.sampled_from(("auto", "logprobs", "samples")),
        "template": st.sampled_from(("helpful", "careful", "reasoned")),
        "samples": st.integers(1, 3),
        "min_label_mass": st.sampled_from((0.0, 0.5, 1.0)),
        "max_calls": st.integers(0, 3),
        "max_total_tokens": st.sampled_from((0, 2000, 10**6)),
    },
)


def forget() -> None:
    """What a process has found out of its servers, and spent."""
    verdict._FOUND.clear()
    ledger._OF_THIS_PROCESS.clear()


@TIERS
def test_every_reply_is_a_verdict_none_or_an_error(tier: Tier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a socket: bytes come as they would out of it."""
    sent: Iterator[tuple[int, dict[str, str], bytes]] = iter(())

    def send(self: ChatClient, body: Any) -> tuple[int, httpx2.Headers, bytes]:
        json.dumps(body, allow_nan=False).encode()
        status, headers, content = next(sent)
        return status, httpx2.Headers(headers), content

    monkeypatch.setattr(ChatClient, "_send", send)

    @tier.share(0.09)
    @given(REPLIES, OPTIONS)
    def holds(replies: list[tuple[int, dict[str, str], bytes]], options: dict[str, Any]) -> None:
        nonlocal sent
        forget()
        sent = _round(replies)
        path = tmp_path / "verdicts.sqlite"
        for file in tmp_path.iterdir():
            file.unlink()
        oracle = Oracle(OpenAI(base_url="http://localhost:1/v1", **FAST | options), path, max_failure_rate=1.0)
        try:
            found = oracle.win_probabilities(QUESTIONS)
        except JudgeError as error:
            refused_in_one_line(error)
            return
        for p in found:
            assert p is None or 0 <= p <= 1
        stats = oracle.stats
        assert 0 <= stats.failures <= stats.questions <= stats.comparisons == len(QUESTIONS)

    holds()


def refused_in_one_line(error: JudgeError) -> None:
    assert "\n" not in str(error)


def _round(replies: list[Any]) -> Iterator[Any]:
    while True:
        yield from replies


@TIERS
def test_a_server_of_any_kind_is_audited_or_reported(
    tier: Tier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a socket, by the command."""
    monkeypatch.chdir(tmp_path)
    for name, letters in (("A", "x"), ("B", "yy"), ("C", "zzz")):
        rows = [{"instruction": f"q{n}", "output": letters * (n + 1), "generator": name} for n in range(2)]
        Path(f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
    replies: list[tuple[int, dict[str, str], bytes]] = []

    def script(number: int, body: dict[str, Any]) -> Send:
        status, headers, content = replies[number % len(replies)]
        return Send(content.decode("utf-8", "replace"), status, headers)

    with serving(script) as server:
        spec = {"name": "openai", "base_url": server.url} | FAST

        @tier.share(0.01)
        @given(REPLIES.filter(_can_be_sent), OPTIONS)
        def holds(sent: list[tuple[int, dict[str, str], bytes]], options: dict[str, Any]) -> None:
            forget()
            replies[:] = sent
            server.requests.clear()
            outcome = comal("audit", "A.json", "B.json", "C.json", "--json", "--judge", json.dumps(spec | options))
            sound(outcome, audited)

        holds()


def _can_be_sent(replies: list[tuple[int, dict[str, str], bytes]]) -> bool:
    return all(status not in (204, 301, 999) for status, _, _ in replies)
