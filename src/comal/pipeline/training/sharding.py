"""Training with a model in shards, FSDP2 or DeepSpeed by Accelerate: it is in effect, or there is an error."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers

from comal.errors import ConfigError
from comal.pipeline.processes.distributed import state
from comal.policies.device import on_cpu
from comal.recipes.settings import Recipe

ALONE = "it does nothing without `fsdp`; set that too, or leave this out"


class Asked(NamedTuple):
    """Sharding that is asked for: `fsdp` or `deepspeed`, and where."""

    kind: str
    where: str
    launched: bool


def asked_sharding(arguments: Mapping[str, Any], place: str = "training.arguments") -> Asked | None:
    """What arguments, a recipe's or the Trainer's, ask for, or what `accelerate launch` sets."""
    for kind in ("fsdp", "deepspeed"):
        if arguments.get(kind):
            return Asked(kind, f"{place}.{kind}", False)
    for kind in ("fsdp", "deepspeed"):
        variable = f"ACCELERATE_USE_{kind.upper()}"
        if os.environ.get(variable, "").lower() in ("true", "1", "yes", "on", "y", "t"):
            return Asked(kind, f"{variable} (of `accelerate launch`)", True)
    return None


def scores_in_shards(recipe: Recipe, processes: int) -> bool:
    """Whether so many processes score policies in shards as they train them: whole models by FSDP.

    Adapters are scored by the one model that all of them share, quantised weights as they are, and DeepSpeed's models
    whole; so are all on CPUs where there are accelerators, since Transformers would put shards on those.
    """
    if on_cpu() and torch.accelerator.is_available():
        return False
    policy, asked = recipe.policy, asked_sharding(recipe.training.arguments)
    whole = policy.lora is None and policy.quantization_config is None
    return whole and asked is not None and asked.kind == "fsdp" and processes > 1


def begins_in_shards(arguments: Mapping[str, Any]) -> bool:
    """Whether whole models are read in shards to be trained in them, rather than divided once they are there.

    Not with settings that only Accelerate's own division of a model heeds.
    """
    return arguments.get("fsdp") is True and not arguments.get("fsdp_config") and not arguments.get("fp16")


def refuse_unsharded(arguments: transformers.TrainingArguments, place: str) -> None:
    """Refuse sharding that would not be in effect: the Trainer would train unsharded, and say nothing.

    Raises:
        ConfigError: FSDP without several processes, DeepSpeed or FSDP 1 on CPUs, or settings of FSDP without it.
    """
    if arguments.fsdp_config and not arguments.fsdp:
        raise ConfigError(f"{place}.fsdp_config", ALONE)
    asked = asked_sharding(vars(arguments), place)
    if asked is None:
        return
    if on_cpu() and (asked.kind == "deepspeed" or asked.launched):
        instead = f"; leave it out, and set {place}.fsdp" if asked.kind == "fsdp" else "; leave it out"
        raise ConfigError(asked.where, f"on CPUs it has no effect, every process would hold all{instead}")
    if asked.kind == "fsdp" and arguments.world_size == 1:
        raise ConfigError(
            asked.where, "this is one process, and there is nothing to shard over; start comal with torchrun"
        )
    gathers = "stage3_gather_16bit_weights_on_model_save"
    zero = getattr(arguments, "hf_deepspeed_config", None)
    if zero is not None and zero.is_zero3() and not zero.get_value(f"zero_optimization.{gathers}", False):
        raise ConfigError(f"{place}.deepspeed", f"set zero_optimization.{gathers} to true, or no checkpoint is whole")
    if asked.kind == "fsdp" and on_cpu() and arguments.fsdp_plugin_args["fsdp_version"] != 2:
        raise ConfigError(f"{place}.fsdp_config", "on CPUs FSDP is version 2 or nothing; leave `version` out")


def let_cpus_shard(arguments: transformers.TrainingArguments) -> None:
    """Have the next Accelerator shard on CPUs: it heeds FSDP's settings where several accelerators are, and only there.

    FSDP2 itself works on CPUs as well, by gloo. `require_sharded` holds that it is in effect.
    """
    from accelerate.utils import DistributedType

    if arguments.fsdp and on_cpu():
        state().distributed_type = DistributedType.MULTI_GPU


def require_sharded(trainer: transformers.Trainer, model: Any) -> None:
    """Check that a model in training is sharded if that was asked for.

    Raises:
        ConfigError: it is not.
    """
    asked = asked_sharding(vars(trainer.args))
    if asked is None:
        return
    names = {type(module).__name__ for module in model.modules()}
    if asked.kind == "deepspeed":
        zero = getattr(trainer.args, "hf_deepspeed_config", None)
        in_parts = zero is None or not zero.is_zero3() or any(_is_part(p) for p in model.parameters())
        sharded = in_parts and any("DeepSpeed" in name for name in names)
    else:
        sharded = "FullyShardedDataParallel" in names or in_shards(model)
    if not sharded:
        raise ConfigError(asked.where, f"it was asked for and is not in effect ({type(model).__name__} trains)")


def in_shards(model: Any) -> bool:
    """Whether this process holds parts of a model's parameters, by FSDP2."""
    return any(_is_shard(parameter) for parameter in model.parameters())


def _is_shard(parameter: Any) -> bool:
    from torch.distributed.tensor import DTensor

    return isinstance(parameter, DTensor) and parameter.to_local().numel() < parameter.numel()


def _is_part(parameter: Any) -> bool:
    """Whether ZeRO-3 has left a process a part of a parameter."""
    part = getattr(parameter, "ds_tensor", None)
    return part is not None and part.numel() < parameter.ds_numel


def is_sharded(trainer: Any) -> bool:
    """Whether each process of a trainer holds a part of the model only."""
    return bool(trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled)


def gathered(trainer: Any) -> dict[str, Any]:
    """The weights of a sharded model on the CPU of the main process, of adapters without what they are put on."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    model = trainer.model_wrapped
    if not (trainer.is_fsdp_enabled and trainer.accelerator.is_fsdp2):
        found: dict[str, Any] = trainer.accelerator.get_state_dict(model)
        return found
    only_trained = hasattr(trainer.accelerator.unwrap_model(model), "peft_config")
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=only_trained)
    return dict(get_model_state_dict(model, options=options))


def save_optimizer(trainer: Any, folder: Path) -> None:
    """Write the state of a sharded model's optimiser, each process its shard."""
    from torch.distributed.checkpoint.state_dict_saver import save

    save(_optimizer_state(trainer), checkpoint_id=folder)


def load_optimizer(trainer: Any, folder: Path) -> None:
    """Take up a state that `save_optimizer` wrote, in any number of processes; the learning rates stay."""
    from torch.distributed.checkpoint.state_dict import set_optimizer_state_dict
    from torch.distributed.checkpoint.state_dict_loader import load

    optimizer = trainer.optimizer.optimizer
    rates = [{key: group[key] for key in ("lr", "initial_lr") if key in group} for group in optimizer.param_groups]
    found = _optimizer_state(trainer)
    load(found, checkpoint_id=folder)
    set_optimizer_state_dict(trainer.model_wrapped, optimizer, found)
    for group, kept in zip(optimizer.param_groups, rates, strict=True):
        group.update(kept)


def _optimizer_state(trainer: Any) -> dict[str, Any]:
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

    return dict(get_optimizer_state_dict(trainer.model_wrapped, trainer.optimizer.optimizer))
