"""A whole step (sample, judge, score, train): comal against TRL's experimental Online DPO, by turns in one run.

    OMP_NUM_THREADS=1 python benchmarks/online_step.py [--shape 10M] [--prompts 32] [--repeats 5]

The same model, prompts and judge, and as many answers: comal draws 4 to a prompt, TRL's trainer, which draws two, is
given each prompt twice. comal's step is the one of a run: everything is written to disk, a checkpoint too, and the
answers are scored under two policies. TRL writes nothing. Needs `pip install '.[trl]'`.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from comal.judges.base import Comparison, Judge
from comal.pipeline.processes.distributed import prepare_process
from comal.recipes.load import load_recipe
from comal.resolve import resolve_judge
from side_by_side.random_lm import SHAPES, make_model, make_tokenizer, prompts_and_answers, text
from side_by_side.steps import Steps, recipe_of
from side_by_side.trained import K, whole_groups
from side_by_side.turns import Way, by_turns, show, show_settings, table

TRL = "TRL Online DPO"


class Preferred:
    """A judge of pairs as a reward function of TRL's trainer, which asks for all first answers, then all second."""

    __name__ = "preferred"

    def __init__(self, judge: Judge) -> None:
        self.judge = judge

    def __call__(self, prompts: list[str], completions: list[str], **_: Any) -> list[float | None]:
        half = len(prompts) // 2
        asked = list(map(Comparison, prompts[:half], completions[:half], completions[half:]))
        first = self.judge.compare(asked)
        return [*first, *(None if p is None else 1 - p for p in first)]


def trl_trainer(options: argparse.Namespace, output: Path) -> Any:
    """TRL's trainer, set to be as fast as it can be here; each `train` is one pass over the prompts."""
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer

    prompts = [text(prompt) for prompt in prompts_and_answers(options.prompts, 2, options.prompt_tokens, 1)[0]]
    config = OnlineDPOConfig(
        output_dir=str(output), per_device_train_batch_size=options.answers // 2, num_train_epochs=1,
        learning_rate=1e-5, max_new_tokens=options.answer_tokens,
        max_length=options.prompt_tokens + options.answer_tokens + 8,
        temperature=1.0, top_k=0, top_p=1.0, beta=0.1, gradient_checkpointing=False, bf16=False, use_cpu=True,
        lr_scheduler_type="constant", save_strategy="no", logging_strategy="no", report_to="none", disable_tqdm=True,
        dataloader_pin_memory=False,
    )  # fmt: skip
    judge = resolve_judge(load_recipe("docstrings").judge, "judge")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is experimental
        trainer = OnlineDPOTrainer(
            model=make_model(SHAPES[options.shape]), reward_funcs=Preferred(judge), args=config,
            train_dataset=Dataset.from_dict({"prompt": prompts * (K // 2)}),
            processing_class=make_tokenizer(SHAPES[options.shape].vocabulary),
        )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    return trainer


def ways(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Way]]:
    """By name; each round takes one step of comal's, or one pass over as many prompts of TRL's."""
    for share in (False, True):
        name = "comal, share_prompt" if share else "comal"
        recipe = recipe_of(
            folder / name, SHAPES[options.shape], (options.prompt_tokens, options.answer_tokens),
            sampling={"prompts": options.prompts, "samples": K, "batch_size": options.drawn},
            training={
                "prompts_per_batch": options.answers // K, "learning_rate": 1e-5, "log_prob_batch": options.drawn,
                "share_prompt": share, "monitor": 0.0,
            },
        )  # fmt: skip
        steps = Steps(folder / name / "run", recipe)
        yield name, lambda steps=steps: steps.take
    trainer = trl_trainer(options, folder / "trl")
    yield TRL, lambda: trainer.train


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="10M")
    parser.add_argument("--prompts", type=int, default=32, help="of a step")
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--answer-tokens", type=int, default=32)
    parser.add_argument("--answers", type=whole_groups, default=16, help="of an optimiser step, of both")
    parser.add_argument("--drawn", type=int, default=128, help="drawn or scored at once by comal; TRL: as it trains")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    prepare_process(None)
    show_settings(options)
    with tempfile.TemporaryDirectory() as folder:
        found = by_turns(dict(ways(options, Path(folder))), options.repeats)
    show(table(found, options.prompts * K, "answers", TRL))


if __name__ == "__main__":
    main()
