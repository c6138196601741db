"""The same answers trained on by comal and by TRL's `DPOTrainer`, each set to be as fast as it can be.

TRL is given two pairs of a prompt's four answers, so that both train on as many, and log-probabilities of the reference
before anything is measured, as comal's are. (Its `padding_free` is out of order in 1.16; all answers are as long here.)
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from comal.losses.group import Group as GroupLoss
from comal.pipeline.training.trainers import Group, TrainerSetup, train_prox
from comal.recipes.settings import TrainingSettings
from side_by_side.random_lm import PAD, make_tokenizer, text
from side_by_side.turns import Work

K = 4  # answers to a prompt

Texts = tuple[list[list[int]], list[list[list[int]]]]
"""Prompts and their answers, as of `random_lm.prompts_and_answers`."""


def whole_groups(text: str) -> int:
    """A number of answers on a command line, which whole prompts bring.

    Raises:
        argparse.ArgumentTypeError: it is another one.
    """
    if not text.isdecimal() or not int(text) or int(text) % K:
        raise argparse.ArgumentTypeError(f"need a multiple of {K}, which a prompt has, got {text}")
    return int(text)


def groups(texts: Texts) -> list[Group]:
    """The prompts with their answers and targets, as a proximal step trains on them."""
    K = len(texts[1][0])
    logp, rates = np.zeros(K), np.linspace(0.9, 0.1, K)
    return [
        Group(tuple(prompt), tuple(map(tuple, answers)), logp, logp, logp, rates)
        for prompt, answers in zip(*texts, strict=True)
    ]


def ours(model: Any, texts: Texts, answers_at_once: int, output: Path, share_prompt: bool, **arguments: Any) -> Work:
    """An epoch of comal's training.

    Args:
        model: trained in place.
        texts: trained on.
        answers_at_once: of an optimiser step.
        output: a folder.
        share_prompt: whether a prompt is computed once for its answers.
        arguments: of `transformers.TrainingArguments`.
    """
    settings = TrainingSettings(
        prompts_per_batch=answers_at_once // len(texts[1][0]), share_prompt=share_prompt, learning_rate=1e-5,
        arguments=arguments,
    )  # fmt: skip
    rows = groups(texts)
    return lambda: train_prox(model, rows, GroupLoss(), 1.0, TrainerSetup(settings, 0, output), pad=PAD)


def trl(model: Any, texts: Texts, answers_at_once: int, output: Path, peft: Any = None, **arguments: Any) -> Work:
    """An epoch of TRL's training; as of `ours`."""
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import DPOConfig, DPOTrainer

    pairs = [
        {"prompt": text(prompt), "chosen": " " + text(answers[i][:-1]), "rejected": " " + text(answers[i + 1][:-1])}
        for prompt, answers in zip(*texts, strict=True)
        for i in range(0, len(answers), 2)
    ]
    # What may be changed by `arguments` comes first.
    changed: dict[str, Any] = {"bf16": False, "gradient_checkpointing": False} | arguments
    config = DPOConfig(
        output_dir=str(output), per_device_train_batch_size=answers_at_once // 2, num_train_epochs=1,
        learning_rate=1e-5, precompute_ref_log_probs=True, max_length=None,
        use_cpu=next(model.parameters()).device.type == "cpu",
        lr_scheduler_type="constant", save_strategy="no", logging_strategy="no", report_to="none", disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(), **changed,
    )  # fmt: skip
    trainer = DPOTrainer(
        model=model, args=config, train_dataset=Dataset.from_list(pairs), processing_class=make_tokenizer(),
        peft_config=peft,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    first = trainer.train_dataset[0]
    for column, tokens in (("prompt_ids", texts[0][0]), ("chosen_ids", texts[1][0][0])):
        if list(first[column]) != tokens:
            raise SystemExit(f"TRL reads {len(first[column])} tokens for {column}, comal {len(tokens)}: not the same")
    return trainer.train
