"""Sharding that was asked for is in effect, or there is an error: never plain training in its place."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from comal.errors import ConfigError
from comal.pipeline.training import trainers
from comal.recipes.settings import TrainingSettings


def arguments(**given: Any) -> Any:
    return SimpleNamespace(**({"fsdp": None, "fsdp_config": None, "deepspeed": None, "world_size": 1} | given))


@pytest.mark.parametrize("asked", [{"fsdp": True}, {"fsdp": "full_shard"}, {"deepspeed": {"zero_optimization": {}}}])
@pytest.mark.parametrize("world", [1, 2])
def test_on_cpus_it_is_refused(asked: dict[str, Any], world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainers, "on_cpu", lambda: True)
    with pytest.raises(ConfigError, match=rf"training.arguments.{next(iter(asked))}: on CPUs it has no effect"):
        trainers.refuse_unsharded(arguments(**asked, world_size=world), "training.arguments")


@pytest.mark.parametrize("name", ["FSDP", "DEEPSPEED"])
def test_what_accelerate_launch_asks_for_is_asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"ACCELERATE_USE_{name}", "true")
    monkeypatch.setattr(trainers, "on_cpu", lambda: True)
    with pytest.raises(
        ConfigError, match=rf"ACCELERATE_USE_{name} \(of `accelerate launch`\): on CPUs it has no effect"
    ):
        trainers.refuse_unsharded(arguments(), "training.arguments")
    trainer: Any = SimpleNamespace(args=arguments())
    with pytest.raises(ConfigError, match="it was asked for and is not in effect"):
        trainers.require_sharded(trainer, torch.nn.Sequential(torch.nn.Linear(1, 1)))
    monkeypatch.setenv(f"ACCELERATE_USE_{name}", "false")
    trainers.refuse_unsharded(arguments(), "training.arguments")


def test_settings_of_fsdp_do_nothing_without_it() -> None:
    with pytest.raises(ConfigError, match=r"training\.arguments\.fsdp_config: it does nothing without `fsdp`"):
        trainers.refuse_unsharded(arguments(fsdp_config={"min_num_params": 1}), "training.arguments")


def test_one_process_has_nothing_to_shard_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainers, "on_cpu", lambda: False)
    with pytest.raises(ConfigError, match="start comal with torchrun"):
        trainers.refuse_unsharded(arguments(fsdp=True), "training.arguments")
    trainers.refuse_unsharded(arguments(fsdp=True, world_size=2), "training.arguments")
    trainers.refuse_unsharded(arguments(), "training.arguments")


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_settings_of_a_recipe_are_refused_where_the_arguments_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.delenv("ACCELERATE_USE_FSDP", raising=False)
    settings = TrainingSettings(arguments={"fsdp": True})
    with pytest.raises(ConfigError, match=r"training\.arguments"):
        trainers.training_arguments(settings, tmp_path, 0, 1, 1)
    monkeypatch.delenv("ACCELERATE_USE_FSDP", raising=False)


def test_a_model_in_training_that_is_not_sharded_is_noticed() -> None:
    class FSDPModule(torch.nn.Linear):
        pass

    plain, sharded = torch.nn.Sequential(torch.nn.Linear(1, 1)), torch.nn.Sequential(FSDPModule(1, 1))
    trainer: Any = SimpleNamespace(args=arguments(fsdp=True))
    trainers.require_sharded(trainer, sharded)
    with pytest.raises(ConfigError, match=r"fsdp: it was asked for and is not in effect \(Sequential trains\)"):
        trainers.require_sharded(trainer, plain)
    trainers.require_sharded(SimpleNamespace(args=arguments()), plain)
