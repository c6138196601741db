"""The most memory that a process has held: of its accelerator, or else of the machine."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Peak:
    """A measurement.

    Attributes:
        bytes: of it.
        of: `accelerator`: what torch had allocated on it, from `begin_peak` on; `process`: all that the process has
            held at once since it started, its libraries included.
    """

    bytes: int
    of: str


def begin_peak() -> None:
    """Measure from now on, where that can be chosen."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak() -> Peak:
    """The most since then."""
    if torch.cuda.is_available():
        return Peak(torch.cuda.max_memory_allocated(), "accelerator")
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Peak(held if sys.platform == "darwin" else held * 1024, "process")
