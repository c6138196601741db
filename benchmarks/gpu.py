"""Training on one accelerator: tokens a second, share of what its matrix products can do, memory; comal against TRL.

    python benchmarks/gpu.py --shape qwen2.5-1.5b                       weights in float32, computed in bfloat16
    python benchmarks/gpu.py --shape qwen2.5-7b --lora 16               weights in bfloat16
    python benchmarks/gpu.py --shape tiny --device cpu                  whether it works, on a machine without one

Random weights of the named shapes, so nothing is downloaded. 4 answers to a prompt, all of one length; both ways train
on the same answers, as many at once, TRL as said in `side_by_side/trained.py`. The ceiling is the best of some products
of square matrices, measured first. Of operations those are counted that the mathematics needs: 2 a parameter and token
forward and 4 backward, 2 where the weights are frozen, and attention's; nothing computed again, no padding. With
`share_prompt` a prompt's tokens are needed once, so its share is of less work: compare answers a second across rows.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from comal.pipeline.processes.distributed import prepare_process
from comal.policies.adapters import LoraConfig, with_adapters
from side_by_side.random_lm import SHAPES, Shape, make_model, prompts_and_answers
from side_by_side.trained import K, Texts, ours, trl, whole_groups
from side_by_side.turns import Work, by_turns, show, show_settings

TRL = "TRL DPO"
TARGET = "all-linear"


def ceiling(device: str, dtype: torch.dtype) -> float:
    """Operations a second of the best of some products of square matrices."""
    sizes = (4096, 8192, 16_384) if device == "cuda" else (256,)
    best = 0.0
    for n in sizes:
        a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
        for _ in range(3):
            a @ b
        for _ in range(5):
            _wait(device)
            begun = time.perf_counter()
            for _ in range(10):
                a @ b
            _wait(device)
            best = max(best, 10 * 2 * n**3 / (time.perf_counter() - begun))
    return best


def operations(shape: Shape, parameters: int, options: argparse.Namespace, shared: bool) -> float:
    """What training on a prompt's answers needs, forward and backward.

    Args:
        shape: of the model.
        parameters: that take part in a product for each token.
        options: the lengths, and whether weights are frozen.
        shared: whether the prompt is counted once.
    """
    prompt, answer = options.prompt_tokens, options.answer_tokens
    prompts = 1 if shared else K
    tokens = prompts * prompt + K * answer
    head = shape.vocabulary * shape.hidden
    # The head is needed where answers are predicted only; an embedding is looked up, which is no product.
    products = 2 * ((parameters - head) * tokens + head * K * answer)
    seen = prompts * prompt**2 / 2 + K * (answer * prompt + answer**2 / 2)
    attention = 4 * shape.layers * shape.hidden * seen
    frozen = options.lora is not None
    return products * (2 if frozen else 3) + attention * 3


def products_of(model: Any, shape: Shape) -> int:
    """Parameters of matrix products: all but an embedding that is no head as well."""
    whole = sum(p.numel() for p in model.parameters())
    return whole if shape.tied else whole - shape.vocabulary * shape.hidden


class Measured:
    """A way of training, begun on a model of its own each time, with the memory that it takes at the most."""

    def __init__(self, make: Callable[[Path], Work], device: str) -> None:
        self.make = make
        self.device = device
        self.peaks: list[int] = []

    def __call__(self) -> Work:
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        folder = tempfile.TemporaryDirectory()
        work = self.make(Path(folder.name))

        def run() -> None:
            nonlocal work
            with folder:
                work()
            work = None  # with the model: the next one needs its memory
            if self.device == "cuda":
                self.peaks.append(torch.cuda.max_memory_allocated())

        return run


def training(options: argparse.Namespace, texts: Texts) -> dict[str, Measured]:
    """The ways, by name."""
    shape, lora = SHAPES[options.shape], options.lora
    dtype = torch.float32 if lora is None else torch.bfloat16
    # TRL's arguments and comal's are those of one trainer.
    both = {"bf16": True, "gradient_checkpointing": options.checkpointing}
    fresh = lambda: make_model(shape, dtype, options.device)  # noqa: E731

    def comal(share: bool) -> Callable[[Path], Work]:
        def make(output: Path) -> Work:
            model = fresh() if lora is None else with_adapters(fresh(), LoraConfig(lora, 2.0 * lora, TARGET), 0)
            return ours(model, texts, options.answers, output, share, **both)

        return make

    def theirs(output: Path) -> Work:
        adapters = None
        if lora is not None:
            from peft import LoraConfig as Adapters

            adapters = Adapters(r=lora, lora_alpha=2 * lora, target_modules=TARGET, task_type="CAUSAL_LM")
        return trl(fresh(), texts, options.answers, output, adapters, **both)

    ways = {"comal": comal(False), "comal, share_prompt": comal(True), TRL: theirs}
    return {name: Measured(make, options.device) for name, make in ways.items()}


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="qwen2.5-1.5b")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--lora", type=int, metavar="RANK")
    parser.add_argument("--checkpointing", action="store_true", help="activations computed again, to save memory")
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--answer-tokens", type=int, default=512)
    parser.add_argument("--answers", type=whole_groups, default=8, help="of an optimiser step")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("no GPU here; try it by --shape tiny --device cpu")
    prepare_process(None)
    show_settings(options)
    shape, count = SHAPES[options.shape], options.answers * options.steps // K
    best = ceiling(options.device, torch.bfloat16)
    parameters = products_of(make_model(shape, torch.bfloat16, "meta"), shape)
    print(
        f"{parameters / 1e9:.3f}G parameters of products; ceiling {best / 1e12:.2f}T operations a second\n", flush=True
    )
    texts = prompts_and_answers(count, K, options.prompt_tokens, options.answer_tokens)
    ways = training(options, texts)
    found = by_turns(ways, options.repeats)
    head = ("", "tokens a second", "answers a second", f"times {TRL}", "of the ceiling", "peak GB")
    rows = [head]
    answers = count * K
    for name, spent in found.items():
        seconds = median(one.wall for one in spent)
        times = median(b.wall / a.wall for a, b in zip(spent, found[TRL], strict=True))
        needed = count * operations(shape, parameters, options, "share_prompt" in name)
        peaks = ways[name].peaks
        rows.append((
            name, f"{answers * (options.prompt_tokens + options.answer_tokens) / seconds:.0f}",
            f"{answers / seconds:.2f}", f"{times:.2f}", f"{needed / seconds / best:.2f}",
            f"{max(peaks) / 1e9:.1f}" if peaks else "not measured",
        ))  # fmt: skip
    show(rows)


if __name__ == "__main__":
    main()
