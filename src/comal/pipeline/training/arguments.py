"""From a recipe's settings to the Trainer's arguments: what it would refuse, and what would silently do nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

from comal.errors import ConfigError, near_match
from comal.pipeline.training.batches import ACCUMULATION, AT_ONCE, Batch
from comal.pipeline.training.sharding import ALONE, asked_sharding, refuse_unsharded
from comal.pipeline.training.tf32 import tf32_kept
from comal.policies.device import on_cpu
from comal.recipes.settings import SupervisedSettings, TrainingSettings

KEPT_PARTS = 10
KEPT: Mapping[str, Any] = {"save_strategy": "steps", "save_steps": 1 / KEPT_PARTS, "save_total_limit": 2}
"""Checkpoints of the supervised stage: a kill costs a tenth of it at most; one is kept until the next is whole."""

_RESERVED = frozenset({"output_dir", "seed", "data_seed", "save_strategy", "remove_unused_columns", "max_steps"})

_OWN: Mapping[str, tuple[str, ...]] = {
    "learning_rate": ("learning_rate",),
    "num_train_epochs": ("epochs",),
    "per_device_train_batch_size": ("prompts_per_batch", "batch_size"),
    "gradient_accumulation_steps": ("gradient_accumulation",),
    "max_grad_norm": ("max_grad_norm",),
    "weight_decay": ("weight_decay",),
    "lr_scheduler_type": ("scheduler",),
    "warmup_steps": ("warmup",),
}
"""Settings of a recipe that `arguments` would silently take the place of, by the Trainer's name."""
_WITHOUT_EFFECT: Mapping[str, str] = {
    "label_smoothing_factor": "comal's losses have no labels to smooth",
    "eval_strategy": "comal looks at the validation prompts itself, by evaluation.every",
    "do_eval": "comal looks at the validation prompts itself, by evaluation.every",
    "load_best_model_at_end": "the Trainer evaluates nothing here that could tell the best",
    "resume_from_checkpoint": "a run goes on from its own folder",
}


def check_arguments(settings: TrainingSettings | SupervisedSettings, place: str) -> None:
    """Refuse what the Trainer would not take, as far as that does not depend on this machine.

    Raises:
        ConfigError: an unknown scheduler, an unknown or reserved key in `arguments`, or one without effect.
    """
    schedulers = [s.value for s in transformers.SchedulerType]
    if settings.scheduler not in schedulers:
        raise ConfigError(
            f"{place}.scheduler",
            f"`{settings.scheduler}` is not a scheduler.{near_match(settings.scheduler, schedulers)}",
        )
    known = set(transformers.TrainingArguments.__dataclass_fields__)
    for key in settings.arguments:
        if key not in known:
            near = near_match(key, known).partition(" Known:")[0]
            raise ConfigError(f"{place}.arguments.{key}", f"`transformers.TrainingArguments` has no such field.{near}")
        if key in _RESERVED:
            raise ConfigError(f"{place}.arguments.{key}", "this is set by the pipeline; leave it out")
        takes = transformers.TrainingArguments.__dataclass_fields__[key].type
        kind = takes.__name__ if isinstance(takes, type) else str(takes)
        # A dataclass checks no types: the text "no" would switch bf16 on.
        if isinstance(settings.arguments[key], str) and re.search("bool|int|float", kind) and "str" not in kind:
            raise ConfigError(
                f"{place}.arguments.{key}",
                f"need {kind}, got the text {settings.arguments[key]!r}; leave the quotes out",
            )
        _refuse_without_effect(settings, key, place)


def _refuse_without_effect(settings: TrainingSettings | SupervisedSettings, key: str, place: str) -> None:
    """Refuse an argument that would do nothing, or that leaves a setting of the recipe without effect.

    Raises:
        ConfigError: as said.
    """
    given, known = settings.arguments[key], type(settings).model_fields
    if key in _WITHOUT_EFFECT and given not in (None, False, 0, "no"):
        raise ConfigError(f"{place}.arguments.{key}", f"it would do nothing: {_WITHOUT_EFFECT[key]}; leave it out")
    if key == "fsdp_config" and given and not settings.arguments.get("fsdp"):
        raise ConfigError(f"{place}.arguments.{key}", ALONE)
    for own in _OWN.get(key, ()):
        if own in known and getattr(settings, own) not in (known[own].default, given):
            raise ConfigError(
                f"{place}.arguments.{key}",
                f"{given!r} would take the place of `{place}.{own}`, {getattr(settings, own)!r}; set that one alone",
            )


def training_arguments(
    settings: TrainingSettings | SupervisedSettings,
    output: Path,
    seed: int,
    batch: Batch,
    kind: type[transformers.TrainingArguments] = transformers.TrainingArguments,
    **more: Any,
) -> transformers.TrainingArguments:
    """The Trainer's arguments for these settings, of a `kind` of its own that takes `more`.

    Raises:
        ConfigError: values that the Trainer refuses.
    """
    values: dict[str, Any] = {
        "output_dir": str(output),
        "num_train_epochs": settings.epochs,
        "learning_rate": settings.learning_rate,
        "weight_decay": settings.weight_decay,
        "lr_scheduler_type": settings.scheduler,
        "warmup_steps": settings.warmup,  # a share when below 1
        "seed": seed,
        "data_seed": seed,
        "save_strategy": "no",
        "logging_strategy": "no",
        "logging_nan_inf_filter": False,  # a diverged loss must be seen
        "report_to": "none",
        "disable_tqdm": True,
        "log_level": "error",
        "remove_unused_columns": False,
        "use_cpu": on_cpu(),
        "dataloader_pin_memory": torch.cuda.is_available(),
        "average_tokens_across_devices": False,
    }
    if isinstance(settings, TrainingSettings):
        values |= {
            "max_grad_norm": settings.max_grad_norm,
            "adam_beta1": settings.adam_betas[0],
            "adam_beta2": settings.adam_betas[1],
        }
    else:
        values |= KEPT
    place = "training" if isinstance(settings, TrainingSettings) else "supervised"
    try:
        sizes = {AT_ONCE: batch.at_once, ACCUMULATION: batch.accumulation}
        with tf32_kept():
            arguments = kind(**(values | settings.arguments | sizes | more))
    except (ValueError, TypeError, ImportError) as error:
        raise ConfigError(f"{place}.arguments", f"{kind.__name__} refuses them: {error}") from error
    refuse_unsharded(arguments, f"{place}.arguments")
    asked = asked_sharding(vars(arguments))
    deepspeed = asked is not None and asked.kind == "deepspeed"
    if deepspeed and isinstance(settings, TrainingSettings) and settings.keep_optimizer:
        raise ConfigError(
            "training.keep_optimizer",
            "DeepSpeed keeps the optimiser's state in a way of its own, which is not written yet; set it to false, or"
            " shard by `arguments: {fsdp: true}`",
        )
    return arguments
