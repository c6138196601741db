"""`comal serve` under load, ended once and killed once: what it serves, beside what its judge could answer at most.

    python benchmarks/serve_load.py --groups 10000          # of 8 answers, from 64 clients

A fake chat judge answers every request after `--latency` seconds; with `--concurrency` of them in flight it answers
concurrency / latency requests a second, whoever asks. A third of the way the server gets SIGTERM and is started again;
two thirds of the way SIGKILL. The clients ask again until every group has its win rates. By the second stop every
presentation must have been paid for at most once; in the end none is missing, and only what was in flight at the
SIGKILL, or on its way to the disk, was asked again: its reply died with the server.

Measured figures are in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2

K = 8


def judge_server(port: int, latency: float, counts: Any) -> None:
    """A chat endpoint that prefers longer answers, after a while; `counts` are requests and different ones."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    seen: Counter[bytes] = Counter()

    async def answer(request: Request) -> Response:
        body = await request.body()
        seen[body] += 1
        counts[0], counts[1] = sum(seen.values()), len(seen)
        await asyncio.sleep(latency)
        p = 1 / (1 + math.exp(-(hash(body) % 7 - 3)))
        top = [{"token": t, "logprob": math.log(q)} for t, q in (("A", p), ("B", 1 - p))]
        said = {"token": "A", "logprob": math.log(p), "top_logprobs": top}
        choice = {"message": {"role": "assistant", "content": "A"}, "logprobs": {"content": [said]}}
        return JSONResponse({"choices": [choice], "usage": {"prompt_tokens": 90, "completion_tokens": 1}})

    app = Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])
    uvicorn.run(app, port=port, log_level="error", access_log=False)


class Server:
    """`comal serve`, which can be ended and started again."""

    def __init__(self, folder: Path, port: int, comparisons: str) -> None:
        self.command = [
            sys.executable, "-m", "comal", "serve", "--judge", str(folder / "judge.yaml"), "--port", str(port),
            "--cache", str(folder / "verdicts.sqlite"), "--comparisons", comparisons,
        ]  # fmt: skip
        self.start()

    def start(self) -> None:
        environment = dict(os.environ) | {"OPENAI_API_KEY": "EMPTY"}
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True, env=environment)
        assert self.process.stderr is not None
        self.process.stderr.readline()

    def end(self, by: signal.Signals) -> float:
        """Seconds from the signal to the end."""
        begin = time.perf_counter()
        self.process.send_signal(by)
        self.process.wait()
        return time.perf_counter() - begin


def ask(client: httpx2.Client, number: int) -> tuple[float, int]:
    """Seconds of the request that was answered, and how many were not."""
    rng = random.Random(number)
    answers = [f"answer {i} to {number}: {'words ' * rng.randrange(1, 40)}" for i in range(K)]
    refused = 0
    while True:
        begin = time.perf_counter()
        try:
            response = client.post("/v1/group", json={"prompt": f"question {number}", "answers": answers})
        except httpx2.TransportError:
            response = None
        if response is not None and response.status_code == 200:
            assert None not in response.json()["win_rates"]
            return time.perf_counter() - begin, refused
        refused += 1
        time.sleep(0.2)


def main() -> None:
    """Run it and print one JSON object."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--groups", type=int, default=10_000)
    options.add_argument("--clients", type=int, default=64)
    options.add_argument("--latency", type=float, default=0.2)
    options.add_argument("--concurrency", type=int, default=64)
    options.add_argument("--comparisons", default="all", help="As `comal serve` takes it: all, or k of each answer.")
    options.add_argument("--no-kill", action="store_true", help="Do not end the server on the way.")
    given = options.parse_args()
    ports = [_free_port(), _free_port()]
    counts = multiprocessing.Array("q", 2)
    judge = multiprocessing.Process(target=judge_server, args=(ports[0], given.latency, counts), daemon=True)
    judge.start()
    _wait_for(ports[0])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        settings = {"name": "openai", "model": "m", "base_url": f"http://127.0.0.1:{ports[0]}/v1",
                    "concurrency": given.concurrency}  # fmt: skip
        (folder / "judge.yaml").write_text(json.dumps(settings))
        server = Server(folder, ports[1], given.comparisons)
        ended: dict[str, float] = {}
        twice: list[int] = []
        done = threading.Semaphore(0)

        def kill() -> None:
            for by in (signal.SIGTERM, signal.SIGKILL):
                for _ in range(given.groups // 3):
                    done.acquire()
                twice.append(counts[0] - counts[1])
                ended[by.name] = round(server.end(by), 2)
                server.start()

        if not given.no_kill:
            threading.Thread(target=kill, daemon=True).start()
        with httpx2.Client(
            base_url=f"http://127.0.0.1:{ports[1]}", timeout=600, limits=httpx2.Limits(max_connections=given.clients)
        ) as client:

            def one(number: int) -> tuple[float, int]:
                found = ask(client, number)
                done.release()
                return found

            begin = time.perf_counter()
            with ThreadPoolExecutor(given.clients) as pool:
                found = list(pool.map(one, range(given.groups)))
            seconds = time.perf_counter() - begin
        server.end(signal.SIGTERM)
    judge.terminate()
    presentations = given.groups * K * (K - 1 if given.comparisons == "all" else int(given.comparisons))
    limit = given.concurrency / given.latency
    times = sorted(second for second, _ in found)
    print(json.dumps({
        "groups": given.groups, "clients": given.clients, "seconds": round(seconds, 1),
        "groups_per_second": round(given.groups / seconds, 2),
        "judge_requests_per_second": round(counts[0] / seconds, 1), "judge_limit_per_second": limit,
        "p50_seconds": round(times[len(times) // 2], 2), "p99_seconds": round(times[int(0.99 * len(times))], 2),
        "seconds_to_end": ended, "asked_again": sum(n for _, n in found),
        "presentations": presentations, "paid": counts[0], "different": counts[1],
        "lost": presentations - counts[1], "paid_twice": counts[0] - counts[1],
        "paid_twice_before_the_kill": max(twice, default=0),
    }, indent=1))  # fmt: skip


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"nobody listens at port {port}")


if __name__ == "__main__":
    main()
