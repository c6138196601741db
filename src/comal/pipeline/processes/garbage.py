"""Less of Python's garbage collection."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

_entered = 0

YOUNG = 5000
"""New objects before Python looks for garbage among them; its own 700 are for small programs, not for torch."""


def collect_less_often() -> None:
    """For a process of our own: importing torch and Transformers makes a million objects, and no garbage."""
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])


@contextlib.contextmanager
def young_garbage_only() -> Iterator[None]:
    """Keep what is alive now out of garbage collection; within another such block, what was alive when that began.

    Accelerate collects garbage at the end of every training; walking all that torch and Transformers have imported
    takes 0.3 s each time, more than a proximal step of a small model.
    """
    global _entered  # as is what it counts: a process has one collector
    if not _entered:
        gc.freeze()
    _entered += 1
    try:
        yield
    finally:
        _entered -= 1
        if not _entered:
            gc.unfreeze()
