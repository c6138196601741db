"""A recipe to start from: commented, complete, and of the sizes that a first try should have.

Rates are those that move a policy within the few optimiser steps of a proximal step, 8 of them here. Adam's steps are
about as long as the rate, so that 5e-7, a rate of full fine-tuning over thousands of steps, leaves an adapter in place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from comal.errors import ConfigError
from comal.recipes.yaml_text import parse_yaml

JudgeKind = Literal["openai", "reward_model", "python"]
JUDGE_KINDS: tuple[JudgeKind, ...] = get_args(JudgeKind)
"""A chat model behind HTTP, a reward model, a function in a file beside the recipe."""

JUDGE_MODELS = {"openai": "my-judge", "reward_model": "Skywork/Skywork-Reward-V2-Qwen3-0.6B"}
"""What stands for the judge's model where none is named."""

LORA_RATE, WHOLE_RATE = 2e-4, 1e-5

LORA_RANK = 16

_COLUMN, _WIDTH = 42, 120  # where comments begin, and where they end
_FUNCTION = "better"


@dataclass(frozen=True, slots=True)
class Starter:
    """What a starting recipe is made of.

    Attributes:
        name: of the run.
        file: of the recipe, as commands are told it.
        model: folder or hub id of the policy.
        lora: whether adapters are trained, or the whole model.
        dtype: of the weights.
        why: why they are trained like this, in words.
        prompts: a file or a hub data set id.
        column: of the prompts in it.
        held_out: prompts to keep for validation, and as many for the test.
        judge: its kind.
        judge_model: by which name it is known; none for `python`.
        module: of the judge's function; for `python` only.
    """

    name: str
    file: str
    model: str
    lora: bool
    dtype: Literal["float32", "bfloat16"]
    why: str
    prompts: str
    column: str
    held_out: int
    judge: JudgeKind
    judge_model: str | None
    module: str

    def text(self) -> str:
        """The recipe's YAML."""
        return "\n".join((*map(_printable, self._head()), *_laid_out(self._lines()))) + "\n"

    def judge_text(self) -> str:
        """The Python file of a judge's function, which prefers shorter answers until it is replaced."""
        return (
            '"""A judge: which of two answers is better?"""\n\n\n'
            f"def {_FUNCTION}(prompt: str, first: str, second: str) -> float | None:\n"
            '    """Probability that the first answer is better than the second, 0 to 1; None: no verdict.\n\n'
            f"    `symmetric: true` in the recipe promises {_FUNCTION}(x, a, b) = 1 - {_FUNCTION}(x, b, a).\n"
            '    """\n'
            "    # A stand-in to try a run with: the shorter answer. Put your own rule here.\n"
            "    if len(first) == len(second):\n"
            "        return 0.5\n"
            "    return 0.9 if len(first) < len(second) else 0.1\n"
        )

    def _head(self) -> Iterable[str]:
        yield f"# {self.name}: written by `comal init`, to be changed at will"
        yield "#"
        yield f"#   comal plan {self.file}     checks everything and says what it will take; loads no weights"
        yield f"#   comal run {self.file}      killed at any moment, the same command continues"
        yield "#"
        yield f"# {self.why}"
        yield "#"
        yield "# All other keys, with their defaults: the page on recipes and the Python API in the documentation."
        if self.judge == "openai":
            yield "#"
            yield "# The judge is asked over HTTP. Start its server before the run, with vLLM for example:"
            yield "#   vllm serve Qwen/Qwen2.5-7B-Instruct --served-model-name my-judge --port 8000"
            yield "# A key, if it wants one, is read from the environment variable OPENAI_API_KEY, from nowhere else."

    def _lines(self) -> Iterable[tuple[str, str]]:
        """Lines of YAML, each with its comment."""
        yield f"name: {_scalar(self.name)}", "of the run; its folder is runs/ and this name"
        yield "seed: 0", "of everything that is drawn at random"
        yield "policy:", "the model to align"
        yield f"  model: {_scalar(self.model)}", "a folder or Hugging Face id of a causal language model"
        yield f"  dtype: {self.dtype}", "of its weights: bfloat16 takes half of the memory of float32"
        if self.lora:
            yield "  lora:", "train adapters; without this key the whole model, at a rate near 1.0e-5"
            yield f"    r: {LORA_RANK}", "their rank"
            yield f"    alpha: {2 * LORA_RANK}", "their scale: alpha / r times what an adapter says is added"
        yield "  max_prompt_tokens: 512", "a longer prompt is cut at the end of its last message"
        yield "  max_new_tokens: 256", "a longer answer is cut, and counts as unfinished"
        yield "prompts:", "what is asked; answers are sampled"
        yield "  train:", "prompts to train on"
        yield f"    source: {_scalar(self.prompts)}", "a JSONL, JSON, CSV or Parquet file, or a hub data set's id"
        yield f"    prompt: {_scalar(self.column)}", "the column of the prompts in it"
        yield f"  held_out: {self.held_out}", "of them for figures during the run, and as many for the final ones"
        yield from self._judge_lines()
        yield "algorithm:", "what is run; `comal list algorithms` names all"
        yield "  name: comal", "moves the reference to the policy when the inner game is about solved"
        yield "  inner:", "the algorithm that takes the steps between"
        yield "    name: inpo", "mirror descent, pulled towards the reference"
        yield "    eta: 5.0", "step size: log-ratios are moved by eta × differences of win rates"
        yield "    tau: 0.1", "strength of the pull; eta × tau is the reference's share in each step"
        yield "  inner_steps: 4", "between two moves of the reference; raise it for a smaller eta × tau"
        yield "  update: copy", "the reference becomes the policy as it is"
        yield "steps: 12", "proximal steps: sample, judge, train"
        yield "sampling:", "how answers are drawn at each step"
        yield "  prompts: 64", "a step"
        yield "  samples: 4", "answers to each, of which all pairs are judged"
        yield "  batch_size: 32", "answers drawn at once; lower it if memory runs out while sampling"
        yield "training:", "how a step is trained"
        yield "  loss: group", "regression over all of a prompt's answers; its minimum is the exact step"
        rate, kind = (
            (LORA_RATE, "adapters: 1.0e-4 to 5.0e-4") if self.lora else (WHOLE_RATE, "whole models: near 1.0e-5")
        )
        mantissa, exponent = f"{rate:.1e}".split("e")
        yield (
            f"  learning_rate: {mantissa}e{int(exponent)}",
            f"for {kind}; raise it while the slope is far below 1",
        )
        yield "  prompts_per_batch: 1", "in memory at once, each with its answers"
        yield "  gradient_accumulation: 8", "batches to one step of the optimiser"
        yield "  keep_optimizer: true", "moments are carried from one proximal step to the next"
        yield "  monitor: 0.1", "share of a step's prompts that measures whether the step arrived"
        yield "  log_prob_batch: 8", "answers scored at once"
        yield "  arguments:", "any of transformers.TrainingArguments"
        yield "    activation_checkpointing: true", "less memory, more time"
        yield "evaluation:", "held-out figures"
        yield "  validation_prompts: 16", "of each look during the run"
        yield "  test_prompts: 48", "of the final evaluation"
        yield "  samples: 2", "answers to each, from every policy"
        yield "  best_of: [4]", "an adversary that gives the best of so many of the start's answers"
        yield "  pool_size: 1", "earlier policies among the adversaries"

    def _judge_lines(self) -> Iterable[tuple[str, str]]:
        if self.judge == "python":
            yield "judge:", f"who says which answer is better: a function in {self.module}.py"
            yield "  name: python", "the kind of judge; `comal list judges` names all"
            yield (
                f"  function: {_scalar(f'{self.module}:{_FUNCTION}')}",
                "module and function; it is given a prompt and two answers",
            )
            yield "  symmetric: true", "one order of the answers is enough; false asks in both"
            return
        assert self.judge_model is not None
        model = _scalar(self.judge_model)
        yield "judge:", "who says which answer is better"
        if self.judge == "reward_model":
            yield "  name: reward_model", "the kind of judge; `comal list judges` names all"
            yield f"  models: [{model}]", "folders or hub ids; several are mixed, and three can disagree in a cycle"
            yield "  dtype: bfloat16", "of their weights"
        else:
            yield "  name: openai", "the kind of judge: OpenAI's protocol; `comal list judges` names all"
            yield f"  model: {model}", "as the server calls it"
            yield "  base_url: http://localhost:8000/v1", "where it listens; leave out for OpenAI itself"
            yield "  template: careful", "the question: helpful, careful, reasoned, or a text of your own"
            yield "  concurrency: 8", "requests at once"
            yield "  max_calls: 100000", "budget of requests; a run that stops there continues with a larger one"
        yield "verdict_cache: shared", "verdicts are kept for all your runs; `run`: in the run's folder"


def module_of(stem: str) -> str:
    """The module beside a recipe of this name that holds its judge: an identifier."""
    name = re.sub(r"\W", "_", stem, flags=re.ASCII)
    return f"{name}_judge" if name.isidentifier() else f"_{name}_judge"


def _laid_out(lines: Iterable[tuple[str, str]]) -> Iterable[str]:
    for line, comment in lines:
        laid = f"{line:<{_COLUMN}}  # {comment}"
        if len(laid) <= _WIDTH:
            yield laid
        else:
            yield f"{' ' * (len(line) - len(line.lstrip()))}# {comment}"
            yield line


def _scalar(text: str) -> str:
    """A text as YAML reads it back: plain where it stays one, quoted otherwise."""
    try:
        plain = re.fullmatch(r"[\w./-]+", text) is not None and parse_yaml(f"a: {text}", "") == {"a": text}
    except ConfigError:
        plain = False
    if plain:
        return text
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text) + '"'


def _printable(text: str) -> str:
    """A text that no reader of YAML breaks into lines."""
    return "".join(c if c.isprintable() else "�" for c in text)
