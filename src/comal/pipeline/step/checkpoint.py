"""The checkpoint and the optimiser's state of a proximal step, written so that one is not there without the other."""

from __future__ import annotations

from typing import Any

import torch

from comal.pipeline.disk.files import atomic_path, remove_folder
from comal.pipeline.disk.method_folder import StepFolder
from comal.pipeline.processes.distributed import on_main
from comal.policies.store import PolicyStore


def save_step(trainer: Any, folder: StepFolder, store: PolicyStore, keep_optimizer: bool) -> None:
    """Write what a spent trainer holds. Optimiser first: a checkpoint that is there has all that belongs to it."""
    state_dict = trainer.accelerator.get_state_dict(trainer.model_wrapped) if _is_sharded(trainer) else None

    def save() -> None:
        if keep_optimizer:
            with atomic_path(folder.optimizer) as temporary:
                torch.save(trainer.optimizer.state_dict(), temporary)
        with atomic_path(folder.checkpoint) as temporary:
            store.save(trainer.accelerator.unwrap_model(trainer.model), temporary, state_dict)
        remove_folder(folder.trainer)

    on_main(save)


def optimizer_state(folder: StepFolder) -> dict[str, Any] | None:
    """The optimiser's state that a step left in its folder, if it is there."""
    if not folder.optimizer.is_file():
        return None
    loaded: dict[str, Any] = torch.load(folder.optimizer, map_location="cpu", weights_only=True)
    return loaded


def _is_sharded(trainer: Any) -> bool:
    return bool(trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled)
