"""Peak memory of a training step with a large vocabulary: comal against TRL's DPOTrainer, in one run.

    OMP_NUM_THREADS=1 python benchmarks/training_memory.py [--vocabulary 150000] [--answers 16] [--tokens 96]

Every way trains the same randomly initialised Llama on the same answers, on CPUs, in a process of its own: its peak is
the resident memory of that process, less what the same process held before it made the model. TRL as said in
`side_by_side/trained.py`. `all logits` is comal without chunks, as it was. The goal is at most 0.6 of TRL's peak. Needs
`pip install '.[trl]'`. Speed is what `training_speed.py` compares.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from comal.pipeline.processes.distributed import prepare_process
from side_by_side.random_lm import SHAPES, make_model, prompts_and_answers
from side_by_side.trained import K, ours, trl, whole_groups
from side_by_side.turns import show, show_settings, spent_on

TRL = "TRL DPO"
WAYS = ("comal", "comal, share_prompt", "all logits", "all logits, share_prompt", TRL)


def peak() -> int:
    """Bytes of resident memory at the most, so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(way: str, options: argparse.Namespace) -> dict[str, float]:
    from comal.policies import head, sequences

    if "all logits" in way:
        head.CHUNK = sequences.CHUNK = 10**18
    shape = dataclasses.replace(SHAPES["wide"], vocabulary=options.vocabulary)
    texts = prompts_and_answers(options.answers // K * options.steps, K, options.tokens, options.tokens)
    if way == TRL:
        from trl import DPOTrainer  # noqa: F401 - what is imported is not counted
    with tempfile.TemporaryDirectory() as output:
        before = peak()
        model = make_model(shape)
        if way == TRL:
            work = trl(model, texts, options.answers, Path(output))
        else:
            work = ours(model, texts, options.answers, Path(output), "share_prompt" in way)
        spent = spent_on(work)
    return {"cpu": spent.cpu, "bytes": peak() - before}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Peak memory of a training step against TRL's.")
    parser.add_argument("--vocabulary", type=int, default=150_000)
    parser.add_argument("--answers", type=whole_groups, default=16, help="at once")
    parser.add_argument("--tokens", type=int, default=96, help="of a prompt, and of an answer")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--way", choices=WAYS, help="measure this one in this process, and print its figures as JSON")
    options = parser.parse_args(arguments)
    prepare_process(None)
    if options.way is not None:
        print(json.dumps(measure(options.way, options)))
        return
    show_settings(options)
    found = {}
    for way in WAYS:
        given = {key: value for key, value in vars(options).items() if key != "way"}
        asked = [part for key, value in given.items() for part in (f"--{key}", str(value))]
        done = subprocess.run(
            [sys.executable, __file__, *asked, "--way", way], capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{way}: {done.stderr[-2000:]}")
        found[way] = json.loads(done.stdout.splitlines()[-1])
    theirs = found[TRL]["bytes"]
    show([
        ("", "peak GB", "of TRL's", "CPU s"),
        *((way, f"{one['bytes'] / 1e9:.2f}", f"{one['bytes'] / theirs:.2f}", f"{one['cpu']:.0f}")
          for way, one in found.items()),
    ])  # fmt: skip


if __name__ == "__main__":
    main()
