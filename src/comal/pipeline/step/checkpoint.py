"""The checkpoint and the optimiser's state of a proximal step, written so that one is not there without the other.

A sharded model's weights are gathered on the CPU and written once, by the main process. Its optimiser's state is not
gathered: every process writes its own shard into one folder (`torch.distributed.checkpoint`), which so many processes
can take up again, or others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from comal.errors import RunError
from comal.pipeline.disk.files import atomic_path, flush, remove_folder
from comal.pipeline.disk.method_folder import StepFolder
from comal.pipeline.processes.distributed import on_main
from comal.pipeline.training.sharding import gathered, is_sharded, save_optimizer
from comal.pipeline.training.trainers import OptimizerState, finish
from comal.policies.store import PolicyStore


def save_step(trainer: Any, folder: StepFolder, store: PolicyStore, keep_optimizer: bool) -> bool:
    """Write what a spent trainer holds, and let go of it; says whether the model is one that can score.

    Optimiser first: a checkpoint that is there has all that belongs to it.
    """
    sharded = is_sharded(trainer)
    state_dict = gathered(trainer) if sharded else None
    if keep_optimizer and sharded:
        _save_shards(trainer, folder)
    model = trainer.accelerator.unwrap_model(trainer.model)

    def save() -> None:
        if keep_optimizer and not sharded:
            with atomic_path(folder.optimizer) as temporary:
                torch.save(trainer.optimizer.state_dict(), temporary)
        with atomic_path(folder.checkpoint) as temporary:
            store.save(model, temporary, state_dict)
        remove_folder(folder.trainer)

    on_main(save)
    finish(trainer)
    return not sharded


def _save_shards(trainer: Any, folder: StepFolder) -> None:
    writing = folder.trainer / folder.optimizer_shards.name
    on_main(lambda: remove_folder(writing))
    save_optimizer(trainer, writing)

    def rename() -> None:
        flush(writing)
        remove_folder(folder.optimizer_shards)
        writing.replace(folder.optimizer_shards)

    on_main(rename)


def optimizer_state(folder: StepFolder, sharded: bool) -> OptimizerState | None:
    """The optimiser's state that a step left in its folder, if it is there; of a sharded one, where its shards lie.

    Raises:
        RunError: what is there is of the other kind.
    """
    whole, shards = folder.optimizer, folder.optimizer_shards
    found: Path | None = shards if shards.is_dir() else whole if whole.is_file() else None
    if found is None:
        return None
    if (found == shards) != sharded:
        kind = "a sharded one" if found == shards else "one process alone, or of its shard"
        raise RunError(
            str(found), f"this state of the optimiser is that of {kind}, and the training that comes is another; remove"
            " it to go on with a new optimiser"
        )  # fmt: skip
    if sharded:
        return shards
    loaded: dict[str, Any] = torch.load(whole, map_location="cpu", weights_only=True)
    return loaded
