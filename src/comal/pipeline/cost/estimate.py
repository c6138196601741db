"""Seconds of a run: what it does times what that costs, by stage, by method and in all.

Methods side by side share the machine: of P processes with T threads each on C cores each takes max(1, P·T/C) times as
long, and they are handed out in order, the next one to whoever is free first.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from comal.pipeline.cost.clock import Seconds
from comal.pipeline.cost.unit_cost import UnitCost
from comal.pipeline.cost.work import Stage, Task, Unit


@dataclass(frozen=True, slots=True)
class Share:
    """How the methods share a machine.

    Attributes:
        processes: at once.
        threads: of each.
        cores: of the machine; on an accelerator 1, and one thread each, since they share it.
    """

    processes: int = 1
    threads: int = 1
    cores: int = 1

    @property
    def slower(self) -> float:
        """How many times as long one of them takes as alone."""
        return max(1.0, self.processes * self.threads / max(self.cores, self.threads))


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds of a run.

    Attributes:
        stages: of each stage, all methods together.
        methods: of what each method does by itself, alone on the machine.
        once: of what is done once for all of them.
        wall: that pass from beginning to end, with methods side by side where the recipe has them.
        cpu: of all processors.
        unmeasured: units of what could not be priced; their seconds are in none of the above.
    """

    stages: Mapping[Stage, Seconds]
    methods: Mapping[str, Seconds]
    once: Seconds
    wall: float
    cpu: float
    unmeasured: Mapping[Unit, float]


def seconds_of(tasks: Sequence[Task], costs: Mapping[Unit, UnitCost], share: Share) -> Estimate:
    """Seconds of all tasks.

    Args:
        tasks: of a run.
        costs: of one unit of each kind; those of other kinds are listed as not measured.
        share: how methods share the machine.
    """
    stages: dict[Stage, Seconds] = {}
    methods: dict[str, Seconds] = {}
    unmeasured: dict[Unit, float] = {}
    once = Seconds()
    for task in tasks:
        if task.method is not None:
            methods.setdefault(task.method, Seconds())
        if task.unit not in costs:
            unmeasured[task.unit] = unmeasured.get(task.unit, 0.0) + task.units
            continue
        spent = costs[task.unit].of(task.size) * task.times
        stages[task.stage] = stages.get(task.stage, Seconds()) + spent
        if task.method is None:
            once += spent
        else:
            methods[task.method] += spent
    wall = once.wall + _side_by_side([spent.wall for spent in methods.values()], share)
    cpu = sum(methods.values(), once).cpu
    return Estimate(stages, methods, once, wall, cpu, unmeasured)


def _side_by_side(alone: Sequence[float], share: Share) -> float:
    """Until the last of some jobs ends, each of which takes so long alone."""
    free = [0.0] * max(1, min(share.processes, len(alone)))
    for seconds in alone:
        heapq.heappush(free, heapq.heappop(free) + seconds * share.slower)
    return max(free)
