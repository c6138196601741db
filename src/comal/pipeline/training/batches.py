"""The batch of an optimiser step: of the recipe, whatever the number of processes that share it.

A batch is B = at once · accumulation rows (prompts with their answers, or pairs of the supervised stage). Of n
processes each takes B / n of them, as many at once as divide that evenly and are no more than one process alone would
take. A batch's rows follow each other in the order that one seed shuffles them into, so that n processes take the
optimiser steps of one, to rounding. The last batch of an epoch may be smaller; then some processes have fewer rows, or
none.

    loss of a batch of B rows         sum_i size_i · loss_i / sum_i size_i        size: 1 a prompt, a pair's tokens
    of a micro-batch M, as computed   sum_{i in M} size_i · loss_i / sum_{i in M} size_i

Gradients are averaged over n processes and over the a rounds of micro-batches, so that a micro-batch's loss counts

    share = n · a · sum_{i in M} size_i / sum_{i in batch} size_i

times, which is 1 where all micro-batches are alike. Runs that were begun before this was so go on as they were begun:
there a batch is each process's own, and every share is 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import Dataset, Sampler

from comal.errors import ConfigError
from comal.pipeline.processes.distributed import state
from comal.recipes.settings import SupervisedSettings, TrainingSettings

AT_ONCE, ACCUMULATION = "per_device_train_batch_size", "gradient_accumulation_steps"
"""What `transformers.TrainingArguments` calls the two numbers."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of an optimiser step as one of the processes takes them.

    Attributes:
        at_once: rows of a micro-batch.
        accumulation: micro-batches.
        processes: how many share the optimiser step.
        index: which of them this one is.
    """

    at_once: int
    accumulation: int
    processes: int = 1
    index: int = 0

    @property
    def rows(self) -> int:
        """Of the optimiser step, in all processes."""
        return self.at_once * self.accumulation * self.processes

    def shared(self, processes: int, index: int, place: str) -> Batch:
        """The batch of one process, shared by several.

        Raises:
            ConfigError: they cannot have equal parts of it.
        """
        mine, left = divmod(self.rows, processes)
        if left:
            steps = "" if self.accumulation == 1 else f" ({self.at_once} × {self.accumulation})"
            raise ConfigError(
                place,
                f"an optimiser step takes {self.rows} rows{steps}, which {processes} processes cannot share evenly;"
                f" set it to a multiple of {processes}, or start so many processes that divide {self.rows}",
            )
        at_once = max(size for size in range(1, min(self.at_once, mine) + 1) if mine % size == 0)
        return Batch(at_once, mine // at_once, processes, index)


def batch_of(settings: TrainingSettings | SupervisedSettings) -> Batch:
    """The batch that settings ask for, as one process takes it; the Trainer's own names for it go before ours.

    Raises:
        ConfigError: `arguments` with a number that is none.
    """
    if isinstance(settings, TrainingSettings):
        at_once, accumulation = settings.prompts_per_batch, settings.gradient_accumulation
    else:
        at_once, accumulation = settings.batch_size, 1
    given = {AT_ONCE: at_once, ACCUMULATION: accumulation} | settings.arguments
    for key in (AT_ONCE, ACCUMULATION):
        if type(given[key]) is not int or given[key] < 1:
            raise ConfigError(f"{_part(settings)[0]}.arguments.{key}", f"need 1 or more, got {given[key]!r}")
    return Batch(given[AT_ONCE], given[ACCUMULATION])


def _part(settings: TrainingSettings | SupervisedSettings) -> tuple[str, str]:
    """Where settings stand in a recipe, and what the size of their batch is called there."""
    if isinstance(settings, TrainingSettings):
        return "training", "prompts_per_batch"
    return "supervised", "batch_size"


def batch_here(settings: TrainingSettings | SupervisedSettings, shared: bool = True) -> Batch:
    """This process's part of the batch that settings ask for.

    Args:
        settings: of a proximal step or the supervised stage.
        shared: whether the batch is that of all processes; otherwise it is each process's own.

    Raises:
        ConfigError: the processes cannot have equal parts of it; Accelerate is told to cut batches in another way.
    """
    batch, here = batch_of(settings), state()
    if not shared:
        return batch
    part, size = _part(settings)
    told = settings.arguments.get("accelerator_config")
    for key in told if isinstance(told, Mapping) else ():
        if key in _CUTS:
            raise ConfigError(
                f"{part}.arguments.accelerator_config.{key}",
                "it would have no effect: comal cuts batches itself, alike for any number of processes; leave it out",
            )
    place = f"{part}.{size}"
    return batch.shared(here.num_processes, here.process_index, place)


_CUTS = ("split_batches", "dispatch_batches", "even_batches", "use_seedable_sampler")

Row = tuple[int, float]
"""Index of a row in the data set, and the share of its micro-batch (see the module)."""


class Rows(Dataset[Any]):
    """Rows as `WholeBatches` asks for them: each with its micro-batch's share."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: Row) -> tuple[Any, float]:
        index, share = row
        return self.rows[index], share


class WholeBatches(Sampler[list[Row]]):
    """The micro-batches of one process, whose rounds are the optimiser steps of all of them.

    Args:
        order: indices of the rows, shuffled in the same way in every process.
        batch: this process's part.
        sizes: of all rows.
        drop_last: leave out the last batch of an epoch where it is smaller.
    """

    def __init__(self, order: Any, batch: Batch, sizes: Sequence[int], drop_last: bool = False) -> None:
        self.order = order
        self.batch = batch
        self.sizes = sizes
        self.drop_last = drop_last

    @property
    def batch_sampler(self) -> WholeBatches:
        """Where the Trainer looks for what is to hear of a new epoch."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """The number of the epoch, from 0, which the order depends on."""
        if hasattr(self.order, "set_epoch"):
            self.order.set_epoch(epoch)

    def __len__(self) -> int:
        whole, left = divmod(len(self.order), self.batch.rows)
        return whole * self.batch.accumulation + (0 if self.drop_last else self._rounds(left))

    def __iter__(self) -> Iterator[list[Row]]:
        indices = list(self.order)
        for start in range(0, len(indices), self.batch.rows):
            rows = indices[start : start + self.batch.rows]
            if len(rows) == self.batch.rows or not self.drop_last:
                yield from self._micro_batches(rows)

    def _rounds(self, rows: int) -> int:
        return -(-rows // (self.batch.at_once * self.batch.processes))

    def _micro_batches(self, rows: Sequence[int]) -> Iterator[list[Row]]:
        batch, rounds = self.batch, self._rounds(len(rows))
        total = sum(self.sizes[i] for i in rows)
        for number in range(rounds):
            start = (number * batch.processes + batch.index) * batch.at_once
            mine = rows[start : start + batch.at_once]
            share = batch.processes * rounds * sum(self.sizes[i] for i in mine) / max(1, total)
            # A process that has no row of a round goes through the motions with one that counts nothing.
            yield [(i, share) for i in mine or rows[:1]]
