"""TF32 is for training alone, whoever makes the Trainer's arguments when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from comal.pipeline.training.arguments import training_arguments
from comal.pipeline.training.batches import batch_here
from comal.pipeline.training.tf32 import tf32_as_in
from comal.recipes.settings import TrainingSettings


@pytest.fixture(autouse=True)
def gpu_with_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.training_args.is_torch_tf32_available", lambda: True)
    monkeypatch.setattr(torch.backends, "fp32_precision", "ieee")


def made(folder: Path, **arguments: Any) -> transformers.TrainingArguments:
    settings = TrainingSettings(arguments=arguments)
    return training_arguments(settings, folder, 0, batch_here(settings, shared=True))


@pytest.mark.parametrize("switch", [{"tf32": True}, {"torch_compile": True}])
def test_it_is_on_while_a_step_is_trained(tmp_path: Path, switch: dict[str, bool]) -> None:
    arguments = made(tmp_path, **switch)
    assert torch.backends.fp32_precision == "ieee", "answers are scored before, too"
    with tf32_as_in(arguments):
        assert torch.backends.fp32_precision == "tf32"
    assert torch.backends.fp32_precision == "ieee"


def test_it_is_off_again_after_a_training_that_failed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="diverged"), tf32_as_in(made(tmp_path, tf32=True)):
        raise RuntimeError("diverged")
    assert torch.backends.fp32_precision == "ieee"


def test_who_switched_it_on_for_all_of_pytorch_can_have_it_off_in_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends, "fp32_precision", "tf32")
    arguments = made(tmp_path, tf32=False)
    with tf32_as_in(arguments):
        assert torch.backends.fp32_precision == "ieee"
    assert torch.backends.fp32_precision == "tf32"


def test_without_a_wish_it_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends, "fp32_precision", "tf32")
    with tf32_as_in(made(tmp_path)):
        assert torch.backends.fp32_precision == "tf32"
