"""Questions a second of one model as a judge: behind a vLLM server (`openai`) and in this process (`pairwise_lm`).

    python benchmarks/judge_server.py MODEL --python .venv-vllm/bin/python

MODEL is a folder of a chat model, and the Python one that has vLLM. Both judges are asked the same questions: all
ordered pairs of four answers to some prompts. The server is asked twice, the second time with its cache filled.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import time
from itertools import permutations
from urllib.error import URLError
from urllib.request import urlopen

from comal.judges.base import Comparison
from comal.judges.openai import OpenAI
from comal.judges.pairwise_lm import PairwiseLM

PROMPTS = (
    "Why is the sky blue? Answer for a child of ten, in a few sentences.",
    "Write a short letter to a neighbour whose dog barks at night.",
    "Name three things to check before buying a used bicycle, with reasons.",
    "Explain what a hash table is, and when not to use one.",
)
ANSWERS = (
    "It depends on many things, and the short answer is that nobody has looked at it closely enough to say for sure.",
    "First look at the frame, then at the wheels and the brakes; a crack or a bend there is what costs most to mend.",
    "Sunlight has all colours in it. The air scatters blue light more than red, so blue comes from all over.",
    "I would keep it short and kind: say what happens and when, that you know it is not meant, and offer to talk.",
)


def served(model: str, python: str) -> tuple[subprocess.Popen[bytes], str]:
    """A server in a process of its own, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        python, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--host", "127.0.0.1", "--port",
        str(port), "--served-model-name", "judge", "--dtype", "float32", "--enforce-eager", "--max-model-len", "1024",
        "--enable-prefix-caching",
    ]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"VLLM_NO_USAGE_STATS": "1"}
    environment.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while True:
        if process.poll() is not None:
            raise SystemExit(f"the server ended with status {process.returncode}")
        try:
            urlopen(f"http://127.0.0.1:{port}/health").close()
        except (URLError, ConnectionError):
            time.sleep(0.5)
        else:
            return process, f"http://127.0.0.1:{port}/v1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--python", required=True)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--prompts", type=int, default=len(PROMPTS))
    options = parser.parse_args()
    questions = [Comparison(prompt, a, b) for prompt in PROMPTS[: options.prompts] for a, b in permutations(ANSWERS, 2)]
    local = PairwiseLM(options.model, min_label_mass=0.0)
    local.compare(questions[:2])  # loads it
    found = {}
    started = time.perf_counter()
    found["here"] = local.compare(questions)
    print(f"here: {len(questions) / (time.perf_counter() - started):.2f} questions a second", flush=True)
    started = time.perf_counter()
    process, address = served(options.model, options.python)
    print(f"server up after {time.perf_counter() - started:.0f} s", flush=True)
    try:
        judge = OpenAI(
            "judge", address, verdict="logprobs", min_label_mass=0.0, concurrency=options.concurrency, timeout=600.0
        )
        judge.compare(questions[:1])  # compiles what there is to compile
        for name in ("server", "server, cache filled"):
            started = time.perf_counter()
            found[name] = judge.compare(questions)
            print(f"{name}: {len(questions) / (time.perf_counter() - started):.2f} questions a second", flush=True)
    finally:
        os.killpg(process.pid, 15)
        process.wait()
    apart = [abs(a - b) for a, b in zip(found["here"], found["server"], strict=True) if None not in (a, b)]
    print(f"verdicts of {len(apart)} questions, at most {max(apart):.1e} apart")


if __name__ == "__main__":
    main()
