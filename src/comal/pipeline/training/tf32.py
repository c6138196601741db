"""TF32 (`training.arguments: {tf32: true}`) in training alone, as mixed precision is.

Transformers switches it on for the whole process, where the Trainer's arguments are made for the first time. Answers
would then be scored in TF32 after a run's first training and without it before, or by a run that goes on, and the two
would differ.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import transformers


@contextlib.contextmanager
def tf32_kept() -> Iterator[None]:
    """Whatever is switched within, it is afterwards what it was before."""
    where, name = _switch()
    before = getattr(where, name)
    try:
        yield
    finally:
        setattr(where, name, before)


@contextlib.contextmanager
def tf32_as_in(arguments: transformers.TrainingArguments) -> Iterator[None]:
    """TF32 as training arguments ask for it, or as it is where they do not."""
    wanted = True if arguments.tf32 is None and arguments.torch_compile else arguments.tf32  # as Transformers has it
    with tf32_kept():
        if wanted is not None:
            where, name = _switch()
            # Not by `enable_tf32` of Transformers, which does nothing where it was called so before.
            setattr(where, name, wanted if name == "allow_tf32" else "tf32" if wanted else "ieee")
        yield


def _switch() -> tuple[Any, str]:
    if hasattr(torch.backends, "fp32_precision"):
        return torch.backends, "fp32_precision"
    return torch.backends.cuda.matmul, "allow_tf32"  # before PyTorch 2.9
