"""Runs with a judge that is paid for: killed, out of budget, without a server; no verdict is paid for twice.

Once against a scripted server in this process, and once (slow) against `transformers serve` on a tiny chat model.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

import forked
import scripted_server
import tiny_run
from comal.pipeline.disk.files import read_json
from comal.recipes.load import load_recipe
from scripted_server import Reset, Send, serving
from waiting import LIMIT, wait_until

KEY = "sk-test-never-to-be-written-0123456789"


def recipe(folder: Path, base_url: str, **judge: Any) -> dict[str, Any]:
    """A tiny run whose judge is behind HTTP."""
    values = tiny_run.values(folder / "data", tiny_run.INPO)
    asked = {"name": "openai", "model": "m", "base_url": base_url, "backoff": 0.05, "timeout": LIMIT, "concurrency": 3}
    return values | {"judge": asked | judge, "steps": 2}


def alphabetical(number: int, body: dict[str, Any]) -> dict[str, Any]:
    """A server that prefers what comes first in the alphabet, and what is shown first."""
    first, second = scripted_server.shown(body)
    apart = 0.3 + sum(second.encode()) - sum(first.encode())
    p = 1 / (1 + math.exp(-max(-30.0, min(30.0, apart))))  # however far apart, both are possible
    return scripted_server.completion("A", {"A": 0.9 * p, "B": 0.9 * (1 - p), "The": 0.1})


def start(path: Path, folder: Path, *options: str) -> forked.Started:
    environment = tiny_run.environment() | {"OPENAI_API_KEY": KEY}
    log = path.parent / f"log-{time.monotonic_ns()}"
    return forked.start(tiny_run.command(path, folder, *options), log, environment=environment)


def finish(started: forked.Started) -> tuple[int, str]:
    return started.wait(), started.stdout.read_text("utf-8")


def keep_of(folder: Path) -> dict[bytes, float]:
    """The kept verdicts; none before the table is there."""
    with contextlib.closing(sqlite3.connect(folder / "verdicts.sqlite")) as connection:
        try:
            return dict(connection.execute("SELECT key, probability FROM verdicts"))
        except sqlite3.OperationalError:
            return {}


def written(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def figures(folder: Path) -> dict[str, bytes]:
    """Every artifact that could differ, by name."""
    names = ["result.json", *(str(p.relative_to(folder)) for p in folder.glob("inpo/**/*.parquet"))]
    return {name: (folder / name).read_bytes() for name in sorted(names)}


def test_killed_and_then_without_a_server_no_verdict_is_paid_for_twice(tmp_path: Path) -> None:
    with serving(alphabetical) as server:
        path, folder = tiny_run.write(tmp_path, recipe(tmp_path, server.url)), tmp_path / "run"
        code, output = finish(start(path, tmp_path / "whole"))
        assert code == 0, output
        needed = len(server.requests)
        assert needed == len(keep_of(tmp_path / "whole")) > 40
        server.counted.clear()

        # The run is killed: only what was in flight may have been paid for in vain.
        server.script = lambda number, body: Send(alphabetical(number, body), delay=0.05)
        killed = start(path, folder)
        wait_until(lambda: len(server.answered) >= 20, "replies")
        os.kill(killed.pid, signal.SIGKILL)
        finish(killed)
        wait_until(lambda: server.in_flight == 0, "the server")
        kept = len(keep_of(folder))
        assert 17 <= kept <= len(server.answered) <= kept + 3

        # The server goes away in the middle: an error that says how to go on, and nothing is lost.
        until = len(server.answered) + 12

        def dying(number: int, body: dict[str, Any]) -> Any:
            return Reset() if len(server.answered) >= until else alphabetical(number, body)

        server.script = dying
        code, output = finish(start(path, folder, "--set", "judge.retries=1", "--set", "judge.backoff=0.01"))
        assert code == 2, output
        # Where the kill fell decides how many questions the step still has: with fewer than the judge's patience, the
        # step's share of failures ends the run and not the judge.
        gone = "error: openai: `m` at http://127.0.0.1" in output
        assert gone or "(connection broken: " in output, output
        assert ("Every verdict there is was kept" if gone else "The verdicts there are were kept") in output
        assert "Traceback" not in output
        lost = len(server.answered) - len(keep_of(folder))
        assert len(server.answered) >= until
        assert lost <= 3

        # A budget is no other configuration, and what was spent before the kill counts.
        server.script = alphabetical
        code, output = finish(start(path, folder, "--set", "judge.max_calls=1"))
        assert code == 2, output
        assert "openai.max_calls: the budget of 1 is used up" in output
        code, output = finish(start(path, folder))
        assert code == 0, output
        assert len(server.answered) == needed + lost
    assert keep_of(folder) == keep_of(tmp_path / "whole")
    assert figures(folder) == figures(tmp_path / "whole")
    assert KEY.encode() not in written(tmp_path)
    assert KEY not in output


def test_too_many_failures_say_why_and_the_recipe_may_allow_more(tmp_path: Path) -> None:
    def script(number: int, body: dict[str, Any]) -> Any:
        first, second = scripted_server.shown(body)
        if {first, second} == {"a", "b"}:
            return scripted_server.completion("", finish="content_filter")
        return alphabetical(number, body)

    with serving(script) as server:
        path = tiny_run.write(tmp_path, recipe(tmp_path, server.url))
        code, output = finish(start(path, tmp_path / "run"))
        assert code == 2, output
        shown = " ".join(output.split())
        assert re.search(r"no verdict on \d+ of \d+ questions, more than 5% \(content filter: \d+\)", shown), output
        code, output = finish(start(path, tmp_path / "run", "--set", "sampling.max_failure_rate=1"))
        assert code == 0, output
    assert load_recipe(str(path)).sampling.max_failure_rate == 0.05


def free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])


def save_chat_judge(folder: Path) -> str:
    """A chat model that always says `A` or `B`, which of them depending on the question.

    The untied output matrix is zero but for the rows of the two letters, v and −v: one of their logits is positive, and
    those of all other tokens are 0.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import tiny_models

    name = tiny_models.save_causal_lm(folder, initializer_range=0.3)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(name), AutoTokenizer.from_pretrained(name)
    model.config.tie_word_embeddings = False
    embedding = model.get_input_embeddings().weight.detach().clone()
    model.lm_head.weight = torch.nn.Parameter(torch.zeros_like(embedding))
    direction = torch.randn(embedding.shape[1], generator=torch.Generator().manual_seed(3))
    for letter, sign in (("A", 1.0), ("B", -1.0)):
        (token,) = tokenizer(letter)["input_ids"]
        model.lm_head.weight.data[token] = sign * direction
    model.save_pretrained(folder)
    return name


@contextlib.contextmanager
def transformers_serve(model: str, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", model]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with log.open("ab") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, env=tiny_run.environment())
    try:

        def healthy() -> bool:
            assert server.poll() is None, log.read_text()
            try:
                return httpx2.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200
            except httpx2.TransportError:
                return False

        wait_until(healthy, "transformers serve")
        yield server
    finally:
        server.kill()
        server.wait()


@pytest.mark.slow
def test_a_run_judged_by_transformers_serve_survives_the_death_of_the_server(tmp_path: Path) -> None:
    model, port, log = save_chat_judge(tmp_path / "judge"), free_port(), tmp_path / "server.log"
    options = {"model": model, "samples": 2, "reply_tokens": 1, "retries": 1, "timeout": LIMIT}
    values = recipe(tmp_path, f"http://127.0.0.1:{port}/v1", **options)
    path, folder = tiny_run.write(tmp_path, values), tmp_path / "run"
    with transformers_serve(model, port, log):
        code, output = finish(start(path, tmp_path / "whole"))
        assert code == 0, output
        # It ignores `logprobs` and `n` in silence; both were found out, and said.
        assert "sends no log-probabilities: verdicts are counted from 2 sampled replies each" in " ".join(
            output.split()
        )
        whole = keep_of(tmp_path / "whole")
        assert set(whole.values()) == {0.0, 1.0}
        killed = start(path, folder)
        wait_until(lambda: (folder / "verdicts.sqlite").is_file() and len(keep_of(folder)) >= 10, "verdicts")
    # The server is dead by SIGKILL, with requests in flight.
    code, output = finish(killed)
    assert code == 2, output
    assert "Every verdict there is was kept" in " ".join(output.split())
    before = keep_of(folder)
    assert 10 <= len(before) < len(whole)
    with transformers_serve(model, port, log):
        code, output = finish(start(path, folder))
    assert code == 0, output
    assert keep_of(folder) == whole
    assert before.items() <= whole.items()
    assert figures(folder) == figures(tmp_path / "whole")
    spend = sqlite3.connect(folder / "spend.sqlite")
    (calls,) = spend.execute("SELECT calls FROM spend").fetchone()
    spend.close()
    # Two requests a verdict and the probes of two processes; in vain were at most those in flight, and their retries.
    assert 2 * len(whole) <= calls <= 2 * len(whole) + 2 * 3 + 3 * 2 * 2 + 8
    assert read_json(folder / "run.json")["recipe"]["judge"]["api_key_env"] == "OPENAI_API_KEY"
    assert KEY.encode() not in written(tmp_path)
    assert "OPENAI_API_KEY" not in os.environ or os.environ["OPENAI_API_KEY"] != KEY
    assert json.loads((folder / "result.json").read_text())["methods"] == ["inpo"]
