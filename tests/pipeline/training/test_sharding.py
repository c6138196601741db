"""Sharding that was asked for is in effect, or there is an error: never plain training in its place."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from torch.distributed.tensor import DTensor

import tiny_run
from comal.errors import ConfigError
from comal.pipeline.training import sharding
from comal.pipeline.training.arguments import training_arguments
from comal.pipeline.training.batches import Batch
from comal.recipes.load import validate
from comal.recipes.settings import TrainingSettings

PLACE = "training.arguments"


def arguments(**given: Any) -> Any:
    plain = {"fsdp": None, "fsdp_config": None, "deepspeed": None, "world_size": 1}
    return SimpleNamespace(**(plain | {"fsdp_plugin_args": {"fsdp_version": 2}} | given))


@pytest.mark.parametrize("world", [1, 2])
def test_deepspeed_is_refused_on_cpus(world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding, "on_cpu", lambda: True)
    with pytest.raises(ConfigError, match=r"training.arguments.deepspeed: on CPUs it has no effect"):
        sharding.refuse_unsharded(arguments(deepspeed={"zero_optimization": {}}, world_size=world), PLACE)


@pytest.mark.parametrize("name", ["FSDP", "DEEPSPEED"])
def test_what_accelerate_launch_asks_for_is_asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"ACCELERATE_USE_{name}", "true")
    monkeypatch.setattr(sharding, "on_cpu", lambda: True)
    with pytest.raises(
        ConfigError, match=rf"ACCELERATE_USE_{name} \(of `accelerate launch`\): on CPUs it has no effect"
    ):
        sharding.refuse_unsharded(arguments(), "training.arguments")
    asked = sharding.asked_sharding(TrainingSettings().arguments)
    assert asked is not None, "a recipe that says nothing of it is trained in shards, and so is its optimiser kept"
    assert (asked.kind, asked.launched) == (name.lower(), True)
    trainer: Any = SimpleNamespace(args=arguments())
    with pytest.raises(ConfigError, match="it was asked for and is not in effect"):
        sharding.require_sharded(trainer, torch.nn.Sequential(torch.nn.Linear(1, 1)))
    monkeypatch.setenv(f"ACCELERATE_USE_{name}", "false")
    assert sharding.asked_sharding(TrainingSettings().arguments) is None
    sharding.refuse_unsharded(arguments(), "training.arguments")


def test_settings_of_fsdp_do_nothing_without_it() -> None:
    with pytest.raises(ConfigError, match=r"training\.arguments\.fsdp_config: it does nothing without `fsdp`"):
        sharding.refuse_unsharded(arguments(fsdp_config={"min_num_params": 1}), "training.arguments")


def test_fsdp_on_cpus_is_its_second_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding, "on_cpu", lambda: True)
    sharding.refuse_unsharded(arguments(fsdp=True, world_size=2), PLACE)
    with pytest.raises(ConfigError, match=r"training.arguments.fsdp_config: on CPUs FSDP is version 2 or nothing"):
        sharding.refuse_unsharded(arguments(fsdp=True, world_size=2, fsdp_plugin_args={"fsdp_version": 1}), PLACE)


@pytest.mark.parametrize("cpu", [True, False])
def test_one_process_has_nothing_to_shard_over(cpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding, "on_cpu", lambda: cpu)
    with pytest.raises(ConfigError, match="start comal with torchrun"):
        sharding.refuse_unsharded(arguments(fsdp=True), PLACE)
    sharding.refuse_unsharded(arguments(fsdp=True, world_size=2), PLACE)
    sharding.refuse_unsharded(arguments(), PLACE)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_settings_of_a_recipe_are_refused_where_the_arguments_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.delenv("ACCELERATE_USE_FSDP", raising=False)
    settings = TrainingSettings(arguments={"fsdp": True})
    with pytest.raises(ConfigError, match=r"training\.arguments"):
        training_arguments(settings, tmp_path, 0, Batch(1, 1))
    monkeypatch.delenv("ACCELERATE_USE_FSDP", raising=False)


@pytest.mark.parametrize(
    ("changes", "processes", "expected"),
    [
        ({}, 2, True),
        ({}, 1, False),
        ({"training": {"arguments": {}}}, 2, False),
        ({"training": {"arguments": {"deepspeed": "settings.json"}}}, 2, False),
        ({"policy": {"model": "owner/name", "lora": {"r": 2}}}, 2, False),
    ],
    ids=["whole models", "alone", "not asked for", "DeepSpeed", "adapters of one model"],
)
def test_what_is_trained_in_shards_is_scored_in_shards(
    tmp_path: Path, changes: dict[str, Any], processes: int, expected: bool
) -> None:
    values = tiny_run.values(tmp_path) | {"policy": {"model": "owner/name"}}
    values["training"] |= {"arguments": {"fsdp": True}}
    for part, some in changes.items():
        values[part] |= some
    assert sharding.scores_in_shards(validate(values), processes) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"fsdp": True}, True),
        ({"fsdp": True, "bf16": True, "activation_checkpointing": True, "fsdp_config": {}}, True),
        ({"fsdp": True, "fsdp_config": {"cpu_offload": True}}, False),
        ({"fsdp": True, "fp16": True}, False),
        ({"fsdp": "full_shard offload"}, False),
        ({"deepspeed": "settings.json"}, False),
        ({}, False),
    ],
)
def test_a_setting_that_only_accelerates_own_division_heeds_has_it_divide(
    arguments: dict[str, Any], expected: bool
) -> None:
    assert sharding.begins_in_shards(arguments) == expected


class Shard(DTensor):
    """One half of a parameter of two."""

    @staticmethod
    def __new__(cls) -> Any:
        return torch.Tensor._make_wrapper_subclass(cls, (2,))

    def __init__(self) -> None:
        pass

    def to_local(self, **_: Any) -> torch.Tensor:
        return torch.zeros(1)


def test_a_model_in_training_that_is_not_sharded_is_noticed() -> None:
    """A class's name is not enough: a parameter is less than the whole here."""

    class FSDPModule(torch.nn.Linear):
        pass

    trainer: Any = SimpleNamespace(args=arguments(fsdp=True))
    sharding.require_sharded(trainer, SimpleNamespace(modules=list, parameters=lambda: [Shard()]))
    with pytest.raises(ConfigError, match=r"fsdp: it was asked for and is not in effect \(Sequential trains\)"):
        sharding.require_sharded(trainer, torch.nn.Sequential(FSDPModule(1, 1)))
    sharding.require_sharded(SimpleNamespace(args=arguments()), torch.nn.Linear(1, 1))


def test_an_engine_of_deepspeed_that_has_parted_nothing_is_noticed() -> None:
    """Of its third stage, which parts weights; the second parts gradients and moments only."""

    class DeepSpeedEngine(torch.nn.Linear):
        pass

    def trainer(stage: int) -> Any:
        config = SimpleNamespace(is_zero3=lambda: stage == 3)
        return SimpleNamespace(args=arguments(deepspeed="settings.json", hf_deepspeed_config=config))

    engine: Any = DeepSpeedEngine(2, 2)
    sharding.require_sharded(trainer(2), engine)
    with pytest.raises(ConfigError, match=r"deepspeed: it was asked for and is not in effect \(DeepSpeedEngine trains"):
        sharding.require_sharded(trainer(3), engine)
    for parameter in engine.parameters():
        parameter.ds_tensor, parameter.ds_numel = torch.zeros(1), parameter.numel()
    sharding.require_sharded(trainer(3), engine)


def test_moments_in_deepspeeds_own_way_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked(transformers.TrainingArguments):
        def __post_init__(self) -> None:
            super().__post_init__()
            self.deepspeed = "a file"

    monkeypatch.setattr("comal.pipeline.training.arguments.refuse_unsharded", lambda *_: None)
    settings = TrainingSettings(keep_optimizer=True)
    with pytest.raises(ConfigError, match=r"training.keep_optimizer: DeepSpeed keeps"):
        training_arguments(settings, tmp_path, 0, Batch(1, 1), Asked)
