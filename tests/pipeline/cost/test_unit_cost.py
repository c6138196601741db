"""Unit costs by a clock that work moves on: what a call takes is then known."""

from __future__ import annotations

import pytest

from comal.pipeline.cost.clock import Seconds
from comal.pipeline.cost.unit_cost import ROUNDS, UnitCost, measure


class Moved:
    """A clock that stands still but for what a call does to it."""

    def __init__(self) -> None:
        self.now = Seconds()
        self.sizes: list[int] = []

    def read(self) -> Seconds:
        return self.now

    def call(self, units: int) -> None:
        """3 s to begin with, of which a processor is busy for 2, and half of both a unit; the first call 10 more."""
        first = Seconds() if self.sizes else Seconds(10, 5)
        self.now += Seconds(3, 2) + Seconds(0.5, 0.25) * units + first
        self.sizes.append(units)


def test_two_sizes_tell_the_unit_from_what_every_batch_takes() -> None:
    clock = Moved()
    found = measure(clock.call, (4, 16), clock, seconds=1e9, at_once=16)
    assert found == UnitCost(Seconds(0.5, 0.25), Seconds(3, 2), 16, Seconds(10, 5))
    assert clock.sizes == [4, *(4, 16) * ROUNDS]
    assert found.of(40) == Seconds(3 * 3 + 20, 3 * 2 + 10), "three batches"
    assert found.of(0) == Seconds()
    assert UnitCost(found.unit, found.fixed).of(40) == Seconds(3 + 20, 2 + 10), "no batches: one call"


def test_no_further_round_is_begun_when_the_time_is_over() -> None:
    clock = Moved()
    measure(clock.call, (4, 16), clock, seconds=0)
    assert clock.sizes == [4, 4, 16]


def test_one_size_shares_its_cost_out() -> None:
    clock = Moved()
    found = measure(clock.call, (8, 8), clock, seconds=1e9)
    assert found == UnitCost(Seconds(7 / 8, 4 / 8), Seconds(), None, Seconds(10, 5))
    assert clock.sizes == [8] * (1 + ROUNDS)


def test_a_disturbed_call_gives_no_negative_cost() -> None:
    """The small calls were held up: nothing says what a unit takes but the larger call's size."""
    clock = Moved()

    def call(units: int) -> None:
        clock.now += Seconds(20, 1) if units == 4 else Seconds(8, 8)

    found = measure(call, (4, 16), clock, seconds=1e9)
    assert found.of(16) == Seconds(pytest.approx(8), pytest.approx(8))
    assert min(found.unit.wall, found.fixed.wall, found.first.wall, found.first.cpu) >= 0
    assert found.unit.cpu == 8 / 16, "no unit costs more than its share of the call"
