"""TF32 is for training alone, whoever makes the Trainer's arguments when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import tiny_models
from comal.losses.group import Group as GroupLoss
from comal.pipeline.training.arguments import training_arguments
from comal.pipeline.training.batches import batch_here
from comal.pipeline.training.tf32 import tf32_as_in
from comal.pipeline.training.trainers import Group, TrainerSetup, train_prox
from comal.policies.store import ModelSource, PolicyStore
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


def test_every_training_of_a_step_has_it_and_nothing_around_it(tmp_path: Path) -> None:
    store = PolicyStore(ModelSource(tiny_models.save_causal_lm(tmp_path / "base")), device=torch.device("cpu"))
    prompt, completions = (1, 2, 3), ((4,), (5,))
    settings = TrainingSettings(arguments={"tf32": True, "optim": "sgd"}, monitor=0.0)
    seen: list[str] = []
    for _ in range(2):  # Transformers' own switch does nothing the second time
        policy = store.open(store.initial)
        logp = policy.score_groups([(prompt, completions)])[0]
        group = Group(prompt, completions, logp, logp, logp, np.array([0.9, 0.1]))
        model = store.trainable(store.initial)
        model.register_forward_pre_hook(lambda *_: seen.append(torch.backends.fp32_precision))
        train_prox(model, [group], GroupLoss(), 1.0, TrainerSetup(settings, 1, tmp_path / "trainer"), pad=0)
        assert torch.backends.fp32_precision == "ieee"
    assert len(seen) >= 2
    assert set(seen) == {"tf32"}


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
