"""What work takes: seconds that pass, and seconds that processors are busy with it.

On a machine that is busy with other things only the second of them says what the work itself takes; on an accelerator
only the first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Seconds:
    """An amount of time.

    Attributes:
        wall: that passes.
        cpu: of all threads of the process, user and system.
    """

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall + other.wall, self.cpu + other.cpu)

    def __sub__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall - other.wall, self.cpu - other.cpu)

    def __mul__(self, times: float) -> Seconds:
        return Seconds(self.wall * times, self.cpu * times)

    def not_below_zero(self) -> Seconds:
        """The same, or 0 where differences of measurements fell below it."""
        return Seconds(max(0.0, self.wall), max(0.0, self.cpu))


class Clock(Protocol):
    """Tells the time since some moment."""

    def read(self) -> Seconds:
        """The time now."""
        ...


class ProcessClock:
    """The clock of this process."""

    def read(self) -> Seconds:
        """The time now."""
        return Seconds(time.perf_counter(), time.process_time())


class EngineClock:
    """The clock of this process and of its sampling engine, where that is a process of its own."""

    def read(self) -> Seconds:
        """The time now; an engine's processor time up to its last reply."""
        from comal.policies.engines.outside.running import spent  # not above: what imports take is measured by a clock

        return ProcessClock().read() + Seconds(cpu=spent().cpu)


def taken(clock: Clock, work: Callable[[], object]) -> Seconds:
    """What `work` takes."""
    before = clock.read()
    work()
    return clock.read() - before
