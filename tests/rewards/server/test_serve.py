"""`comal serve` as a process: where it listens, and what is left when it is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from comal.errors import ConfigError
from comal.judges.kept.upkeep import read_stats
from comal.rewards.server.serve import TOKEN, read_token
from command_line import comal, refused
from reward_client import Client
from scripted_server import Send, log_probs, serving
from waiting import LIMIT, wait_until

QUESTIONS = [{"prompt": f"x{i}", "answers": ["a", "bb", "ccc"]} for i in range(12)]
LONGER = "{name: rules, rules: [{measure: characters}]}"
PRESENTATIONS = 6 * len(QUESTIONS)


@contextmanager
def comal_serve(tmp_path, url, *options):
    judge = tmp_path / "judge.yaml"
    judge.write_text(f"name: openai\nmodel: m\nbase_url: {url}\nconcurrency: 3\nmax_calls: 1000\n")
    command = [sys.executable, "-m", "comal", "serve", "--judge", str(judge), "--port", "0", *options]
    environment = dict(os.environ) | {"OPENAI_API_KEY": "EMPTY"}
    environment.pop(TOKEN, None)
    with subprocess.Popen([*command, "--cache", str(tmp_path / "v.sqlite")], stderr=subprocess.PIPE, text=True,
                          env=environment) as process:  # fmt: skip
        try:
            line = process.stderr.readline()
            assert line.startswith("http://127.0.0.1:"), line + process.stderr.read()
            yield Client(line.strip()), process
        finally:
            process.kill()


@pytest.mark.parametrize(("ended_by", "twice"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, 3)])
def test_an_ended_server_loses_no_paid_verdict_and_pays_for_none_twice(ended_by, twice, tmp_path):
    """After SIGKILL only what was in flight, 3 requests at most, is asked again."""
    middle, going = threading.Event(), threading.Event()

    def script(number, body):
        if number == 30:
            middle.set()
        if number >= 30:
            assert going.wait(LIMIT)
        return Send(log_probs(number, body))

    with serving(script) as judged:
        with comal_serve(tmp_path, judged.url) as (client, process), ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(_ask, client, question) for question in QUESTIONS]
            assert middle.wait(LIMIT)
            wait_until(lambda: read_stats(tmp_path / "v.sqlite").verdicts == 30, "what was answered to be kept")
            process.send_signal(ended_by)
            if ended_by != signal.SIGKILL:
                wait_until(lambda: _stops(client), "the signal")
            going.set()
            status = process.wait(LIMIT)
            answers = [future.result(LIMIT) for future in asked]
        assert status == (-signal.SIGKILL if ended_by == signal.SIGKILL else 0)
        assert all(found in (200, 503, None) for found in answers)
        assert any(found != 200 for found in answers)
        paid = len(judged.requests)
        assert 30 < paid < PRESENTATIONS
        kept = read_stats(tmp_path / "v.sqlite").verdicts
        assert paid - twice <= kept <= paid
        with comal_serve(tmp_path, judged.url) as (client, process):
            said = [client.post("/v1/group", question) for question in QUESTIONS]
            assert [status for status, _ in said] == [200] * len(QUESTIONS)
            assert all(None not in answer["win_rates"] for _, answer in said)
            spent = said[-1][1]["spend"]["calls"]
        times = Counter(str(body["messages"]) for body in judged.requests)
        assert len(times) == PRESENTATIONS
        assert len(judged.requests) <= PRESENTATIONS + twice
        # A call is booked before it is sent: SIGKILL may come between the two.
        booked = spent - len(judged.requests)
        assert 0 <= booked <= twice, "the budget counts what was paid before the end"


def _ask(client, question):
    try:
        return client.post("/v1/group", question)[0]
    except OSError:  # hung up, or not there any more
        return None


def _stops(client):
    try:
        return client.get("/health")[0] == 503
    except OSError:
        return True


def test_others_are_let_in_by_a_token_only(monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)
    assert read_token("127.0.0.1") is read_token("::1") is read_token("localhost") is None
    with pytest.raises(ConfigError, match=rf"--host: others can reach `0.0.0.0` .* token in {TOKEN}"):
        read_token("0.0.0.0")
    monkeypatch.setenv(TOKEN, "short")
    with pytest.raises(ConfigError, match="need 16 or more"):
        read_token("0.0.0.0")
    monkeypatch.setenv(TOKEN, "0123456789abcdef")
    assert read_token("0.0.0.0") == "0123456789abcdef"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--judge", "nobody"], "`nobody` is no judge"),
        (["--judge", LONGER, "--comparisons", "some"], "--comparisons: need `all` or a number from 1"),
        (["--judge", LONGER, "--host", "0.0.0.0"], "others can reach `0.0.0.0`"),
        (["--judge", "name=openai model=m max_calls=5"], "give a `cache` of your own"),
    ],
)
def test_wrong_options(options, told, monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    refused(comal("serve", *options), told)
