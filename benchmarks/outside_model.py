"""The share of a proximal step that is not work of the model, and where it goes.

    OMP_NUM_THREADS=1 python benchmarks/outside_model.py [--shape 15M] [--prompts 32] [--steps 3]

Work of the model are its forward and backward passes, the optimiser, and what Transformers' `generate` does between the
passes; all else of a step is outside: reading and laying out prompts, judging, completing win rates, tables, the
checkpoint, the journal, setting a trainer up. Processor seconds, each step's share, their median; then one more step
under cProfile, which slows what is outside down by more than what is not. The goal is 10% at most.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from transformers import LlamaForCausalLM

from comal.pipeline.processes.distributed import prepare_process
from side_by_side.parts import OUTSIDE, Parts
from side_by_side.random_lm import SHAPES
from side_by_side.steps import Steps, recipe_of
from side_by_side.turns import show, show_settings

SHOWN = 30


def package_of(file: str) -> str:
    """The part of a program that a profile's file belongs to: a folder of comal's, or a package."""
    parts = Path(file).parts
    if "comal" in parts:
        place = parts[parts.index("comal") :]
        return ".".join(place[:3]).removesuffix(".py")
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1].removesuffix(".py")
    return "built in" if file == "~" else "Python's library"


def profiled(steps: Steps) -> None:
    """Print a step's own time by package, and comal's functions by what they and those they call take."""
    profile = cProfile.Profile(time.process_time)
    profile.runcall(steps.take)
    own: Counter[str] = Counter()
    ours: Counter[str] = Counter()
    for (file, _, function), (_, _, inside, below, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        own[package_of(file)] += inside
        if "comal" in Path(file).parts and not function.startswith("<"):
            ours[f"{package_of(file)} {function}"] += below
    whole = sum(own.values())
    for title, counted in (("own time of", own), ("time in, calls included", ours)):
        show(
            [
                (title, "s", "%"),
                *((name, f"{s:.2f}", f"{100 * s / whole:.1f}") for name, s in counted.most_common(SHOWN)),
            ]
        )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=[name for name, shape in SHAPES.items() if not shape.qwen], default="15M")
    parser.add_argument("--prompts", type=int, default=32, help="of a step")
    parser.add_argument("--samples", type=int, default=4, help="answers a prompt")
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--answer-tokens", type=int, default=32)
    parser.add_argument("--drawn", type=int, default=64, help="drawn or scored at once")
    parser.add_argument("--share-prompt", action="store_true")
    parser.add_argument("--keep-optimizer", action="store_true")
    parser.add_argument("--steps", type=int, default=3, help="after one that warms up")
    parser.add_argument("--no-profile", action="store_true")
    options = parser.parse_args(arguments)
    prepare_process(None)
    show_settings(options)
    with tempfile.TemporaryDirectory() as folder:
        recipe = recipe_of(
            Path(folder), SHAPES[options.shape], (options.prompt_tokens, options.answer_tokens),
            sampling={"prompts": options.prompts, "samples": options.samples, "batch_size": options.drawn},
            training={
                "prompts_per_batch": max(1, options.prompts // 8), "learning_rate": 1e-5,
                "log_prob_batch": options.drawn, "share_prompt": options.share_prompt,
                "keep_optimizer": options.keep_optimizer,
            },
        )  # fmt: skip
        steps = Steps(Path(folder) / "run", recipe)
        steps.take()
        found = []
        for _ in range(options.steps):
            with Parts().watching(LlamaForCausalLM) as parts:
                steps.take()
            found.append(parts.seconds)
            told = ", ".join(f"{name} {seconds:.2f}" for name, seconds in sorted(parts.seconds.items()))
            print(f"step {len(found)}: {told} CPU s", file=sys.stderr, flush=True)
        names = sorted({name for one in found for name in one}, key=lambda name: (name == OUTSIDE, name))
        share = {name: median(one.get(name, 0.0) / sum(one.values()) for one in found) for name in names}
        seconds = {name: median(one.get(name, 0.0) for one in found) for name in names}
        show(
            [
                ("part of a step", "CPU s", "%"),
                *((name, f"{seconds[name]:.2f}", f"{100 * share[name]:.1f}") for name in names),
            ]
        )
        if not options.no_profile:
            profiled(steps)


if __name__ == "__main__":
    main()
