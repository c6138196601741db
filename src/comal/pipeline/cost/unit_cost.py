"""What a call of a stage takes by how much it is given, from calls of two sizes.

    seconds of a call of n units, b at once  =  ceil(n / b) · fixed + n · unit

A stage's first call pays for what is made once (kernels, imports, a judge's weights): it is left out here and given
apart. Of the others the medians count.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from comal.pipeline.cost.clock import Clock, Seconds, taken

_NOTHING = Seconds()

ROUNDS = 3
"""Times that each size is measured, where there is time for it."""


@dataclass(frozen=True, slots=True)
class UnitCost:
    """Seconds of a stage's calls.

    Attributes:
        unit: of one unit.
        fixed: of a batch, whatever its size.
        at_once: units of a batch; None: a call is one batch.
        first: that the first call of a process takes on top.
    """

    unit: Seconds
    fixed: Seconds = _NOTHING
    at_once: int | None = None
    first: Seconds = _NOTHING

    def of(self, units: float) -> Seconds:
        """A call of so many units."""
        batches = 0 if units <= 0 else 1 if self.at_once is None else math.ceil(units / self.at_once)
        return self.fixed * batches + self.unit * units


def measure(
    call: Callable[[int], object], sizes: tuple[int, int], clock: Clock, *, seconds: float, at_once: int | None = None
) -> UnitCost:
    """What a stage takes.

    Args:
        call: the stage, given so many units.
        sizes: of a small call and a large one, no larger than a batch where there are batches; two equal ones are one
            size, whose cost is shared out among its units.
        clock: tells the time.
        seconds: that may pass before no further round is begun; there is always one.
        at_once: units of a batch.
    """
    small, large = sizes
    first = taken(clock, lambda: call(small))
    shorter: list[Seconds] = []
    longer: list[Seconds] = []
    passed = 0.0
    while len(longer) < ROUNDS and (not longer or passed < seconds):
        if small < large:
            shorter.append(taken(clock, lambda: call(small)))
        longer.append(taken(clock, lambda: call(large)))
        passed += sum(times[-1].wall for times in (shorter, longer) if times)
    whole = _median(longer)
    if small == large:
        return UnitCost(whole * (1 / large), Seconds(), at_once, (first - whole).not_below_zero())
    part = _median(shorter)
    unit = ((whole - part) * (1 / (large - small))).not_below_zero()
    # No unit costs more than its share of the larger call, however the two calls were disturbed.
    unit = Seconds(min(unit.wall, whole.wall / large), min(unit.cpu, whole.cpu / large))
    fixed = (whole - unit * large).not_below_zero()
    return UnitCost(unit, fixed, at_once, (first - (fixed + unit * small)).not_below_zero())


def _median(times: list[Seconds]) -> Seconds:
    return Seconds(median(t.wall for t in times), median(t.cpu for t in times))
