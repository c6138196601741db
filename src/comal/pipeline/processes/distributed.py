"""One process or many: sharing work by rows, with the same result whatever the number of processes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TypeVar

from comal.policies.device import state

__all__ = ["map_chunks", "on_main", "state"]

T = TypeVar("T")
R = TypeVar("R")


def map_chunks(
    work: Callable[[Sequence[T]], Sequence[R]],
    items: Sequence[T],
    size: int,
    stride: int = 1,
    *,
    in_step: bool = False,
) -> list[R]:
    """`work` on consecutive chunks of `size` items, in turn on every `stride`-th process; all get all results.

    Chunks are cut the same way for any number of processes, so a chunk's arithmetic and random draws are too.

    Args:
        work: gives a result an item.
        items: what it works on.
        size: of a chunk.
        stride: every how many processes there is one that works.
        in_step: whether all processes work equally often: those that have run out of chunks repeat the last one.
    """
    processes = state()
    chunks = [items[start : start + size] for start in range(0, len(items), size)]
    mine = {
        c: list(work(chunk))
        for c, chunk in enumerate(chunks)
        if c * stride % processes.num_processes == processes.process_index
    }
    if in_step and chunks and processes.process_index >= len(chunks) % processes.num_processes > 0:
        work(chunks[-1])
    if processes.num_processes > 1:
        from accelerate.utils import gather_object

        mine = dict(gather_object(list(mine.items())))
    return [row for c in range(len(chunks)) for row in mine[c]]


def on_main(work: Callable[[], object]) -> None:
    """Run `work` on the main process while the others wait."""
    processes = state()
    if processes.is_main_process:
        work()
    processes.wait_for_everyone()


def prepare_process(threads: int | None) -> None:
    """Set torch's threads and leave the terminal to our own progress display."""
    import torch
    import transformers

    if threads is not None:
        torch.set_num_threads(threads)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    import datasets

    datasets.disable_progress_bars()
    warnings.filterwarnings("ignore", category=FutureWarning, module="(transformers|torch|accelerate|peft).*")
