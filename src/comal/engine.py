"""The one loop: a program, a backend that carries its instructions out, a journal that remembers the reports.

The journal is the whole resume state: a program is deterministic given the reports it has received, so replaying them
brings it to where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from comal.algorithms.base import Algorithm, Instruction, Report


class Backend(Protocol):
    """Carries instructions out."""

    def execute(self, index: int, instruction: Instruction) -> Report:
        """Carry out instruction number `index` (from 0) and report on it."""
        ...

    def replay(self, index: int, instruction: Instruction, report: Report) -> None:
        """Take up the state that instruction `index` left when it was carried out in an earlier process."""
        ...


class Journal(Protocol):
    """The reports so far, in order, and a way to add one that survives a crash."""

    @property
    def reports(self) -> tuple[Report, ...]:
        """Reports of the instructions already carried out."""
        ...

    def append(self, index: int, instruction: Instruction, report: Report) -> None:
        """Remember the report of instruction `index`; on return it is safe."""
        ...


@dataclass(slots=True)
class MemoryJournal:
    """A journal for runs that nobody resumes; it keeps only the number of reports, not their contents."""

    count: int = 0
    reports: tuple[Report, ...] = field(default=(), init=False)

    def append(self, index: int, instruction: Instruction, report: Report) -> None:  # noqa: ARG002
        """Count the instruction."""
        self.count += 1


def run(
    algorithm: Algorithm, backend: Backend, journal: Journal, stop: Callable[[int, Instruction, Report], bool]
) -> int:
    """Run `algorithm` until `stop(index, instruction, report)` says so; returns the number of instructions.

    Instructions found in the journal are replayed, not carried out again; `stop` sees them too, so a finished run
    stays finished.
    """
    program = algorithm.program()
    instruction = next(program)
    done = journal.reports
    index = 0
    while True:
        if index < len(done):
            report = done[index]
            backend.replay(index, instruction, report)
        else:
            report = backend.execute(index, instruction)
            journal.append(index, instruction, report)
        index += 1
        if stop(index - 1, instruction, report):
            return index
        instruction = program.send(report)
