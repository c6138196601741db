"""Train models in folders in shards, in each of several processes, and account for what is held meanwhile.

    python train_in_shards.py OUTPUT FOLDER...

Prints one JSON object a folder: bytes of the whole model, of this process's parts before and after training, the most
that tensors took at any time while it was opened, the loss, and how many weights were gathered here. The main process
writes what was trained to a folder of the same name in `OUTPUT`.
"""

from __future__ import annotations

import json
import os
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers.distributed.sharding_utils import DtensorShardOperation

import stores
from comal.losses.group import Group as GroupLoss
from comal.pipeline.processes.distributed import on_main, state
from comal.pipeline.training.sharding import gathered
from comal.pipeline.training.trainers import Group, TrainerSetup, finish, train_prox
from comal.recipes.settings import TrainingSettings

shard_tensor = DtensorShardOperation.shard_tensor


def settings(**arguments: Any) -> TrainingSettings:
    """Two optimiser steps of six prompts; not with the signs of gradients that are nothing but rounding."""
    return TrainingSettings(learning_rate=1e-2, prompts_per_batch=6, arguments={"adam_epsilon": 1e-3} | arguments)


def groups() -> list[Group]:
    """Of twelve prompts."""
    logp, rates = np.zeros(2), np.array([0.9, 0.1])
    return [Group((5, 6 + i), ((7 + i,), (8 + i, 9)), logp, logp, logp, rates) for i in range(12)]


class Held(TorchDispatchMode):
    """The most bytes that tensors took at once, of those that were made since.

    What is read of a checkpoint on CPUs lies where its file is mapped into memory, and counts by what was asked for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known: set[int] = set()
        self.reading = False

    def noted(self, *args: Any, **kwargs: Any) -> Any:
        """In the place of what reads a part."""
        self.reading = True
        found = shard_tensor(*args, **kwargs)
        self.reading = False
        self.known.add(found.untyped_storage().data_ptr())
        self.add(found.nbytes)
        return found

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        for tensor in [] if self.reading else tree_leaves(found):
            if type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.device.type == "cpu":
                self.hold(tensor.untyped_storage())
        return found

    def hold(self, storage: torch.UntypedStorage) -> None:
        """Count a storage until it is freed."""
        address, size = storage.data_ptr(), storage.nbytes()
        if address not in self.known:
            self.known.add(address)
            self.add(size)
            weakref.finalize(storage, self.free, address, size)

    def add(self, size: int) -> None:
        """So much more is held."""
        self.now += size
        self.most = max(self.most, self.now)

    def free(self, address: int, size: int) -> None:
        """It is no more."""
        self.known.discard(address)
        self.now -= size


def main(folder: str, output: Path) -> dict[str, Any]:
    store = stores.store(folder, score=4, in_shards=True)
    with Held() as held:
        DtensorShardOperation.shard_tensor = lambda *args, **kwargs: held.noted(*args, **kwargs)
        model = store.trainable_in_shards(folder)
    parameters = list(model.parameters())

    def local() -> int:
        return sum(p.to_local().nbytes if isinstance(p, DTensor) else p.nbytes for p in model.parameters())

    found = {"whole": sum(p.numel() * 4 for p in parameters), "local": local(), "most": held.most}
    setup = TrainerSetup(settings(fsdp=True), 1, output / "trainer")
    step, trainer = train_prox(model, groups(), GroupLoss(), 1.0, setup, pad=0)
    weights = gathered(trainer)
    on_main(lambda: store.save(model, output / Path(folder).name, weights))
    found |= {"after": local(), "loss": step.loss, "gathered": len(weights)}
    finish(trainer)
    return found


if __name__ == "__main__":
    assert state().num_processes > 1
    os.environ["HF_DEACTIVATE_ASYNC_LOAD"] = "1"  # what is read by other threads is not seen
    for folder in sys.argv[2:]:
        print(json.dumps(main(folder, Path(sys.argv[1]))))
