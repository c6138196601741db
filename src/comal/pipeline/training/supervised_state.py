"""Checkpoints of the Trainer's own from which a killed supervised stage goes on, each marked when it is whole.

The Trainer writes a checkpoint file by file and takes up the last folder it finds, so a kill within a save would leave
it half a state. Nor does it keep the sum of the losses. Both are in the mark, which is written last.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers

from comal.pipeline.disk.files import flush, read_json, write_json
from comal.pipeline.disk.layout import whole_mark
from comal.pipeline.processes.distributed import on_main, state
from comal.pipeline.training.trainers import SupervisedTrainer, over_processes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A whole checkpoint.

    Attributes:
        folder: for the Trainer to resume from.
        loss_sum, batches: of this process's micro-batches so far, in nats a token.
    """

    folder: Path
    loss_sum: float
    batches: int


def fingerprint(origin: Any) -> str:
    """What a checkpoint is made from (plain values), in a word; the number of processes belongs to it."""
    text = json.dumps([state().num_processes, origin], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def last_checkpoint(folder: Path, origin: str) -> Checkpoint | None:
    """The last whole checkpoint of this origin in `folder`; all others are removed."""
    known = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    marks = {path: read_json(whole_mark(path)) for path in known if whole_mark(path).is_file()}
    whole = [path for path, mark in marks.items() if mark["origin"] == origin]
    processes = state()
    processes.wait_for_everyone()

    def remove_others() -> None:
        for path in known:
            if path not in whole:
                shutil.rmtree(path)

    on_main(remove_others)
    if not whole:
        return None
    mark = marks[whole[-1]]
    return Checkpoint(whole[-1], mark["loss_sums"][processes.process_index], mark["batches"])


class MarkWhole(transformers.TrainerCallback):  # type: ignore[misc]
    """Makes each checkpoint safe on disk and marks it, once every process has written its part."""

    def __init__(self, trainer: SupervisedTrainer, origin: str) -> None:
        self.trainer = trainer
        self.origin = origin

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ARG002
        """No checkpoint at the last step: the model is about to be written itself."""
        if state.global_step >= state.max_steps:
            control.should_save = False
        return control

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Mark the checkpoint that was just written.

        Raises:
            RunError: training has diverged; such a checkpoint is nothing to go on from.
        """
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        self.trainer.mean_loss()
        sums = over_processes(self.trainer, float(self.trainer.loss_sum)).tolist()

        def mark() -> None:
            flush(folder)
            write_json(whole_mark(folder), {"origin": self.origin, "loss_sums": sums, "batches": self.trainer.batches})

        on_main(mark)
