"""Times of a run: what it does times what that costs, and methods side by side."""

from __future__ import annotations

import pytest

from comal.pipeline.cost.clock import Seconds
from comal.pipeline.cost.estimate import Share, seconds_of
from comal.pipeline.cost.unit_cost import UnitCost
from comal.pipeline.cost.work import Task

COSTS = {"row": UnitCost(Seconds(1, 2)), "answer": UnitCost(Seconds(0.1, 0.1), Seconds(1, 1), 10)}
TASKS = [
    Task("supervised", "row", 5),
    Task("sample", "answer", 20, 3, "a"),
    Task("sample", "answer", 5, 2, "b"),
    Task("judge", "pair", 7, 2, "b"),
    Task("look", "answer", 10, 1, "c"),
]


def test_stages_and_methods_add_up() -> None:
    found = seconds_of(TASKS, COSTS, Share())
    assert found.once == Seconds(5, 10)
    # Two batches and twenty answers a call; one and five; one and ten.
    assert {name: spent.wall for name, spent in found.methods.items()} == pytest.approx({"a": 12, "b": 3, "c": 2})
    assert {stage: spent.wall for stage, spent in found.stages.items()} == pytest.approx(
        {"supervised": 5, "sample": 15, "look": 2}
    )
    assert found.wall == pytest.approx(5 + 12 + 3 + 2)
    assert found.cpu == pytest.approx(10 + 17)
    assert found.cpu == pytest.approx(sum(spent.cpu for spent in found.stages.values()))


def test_what_was_not_measured_is_listed_and_is_no_zero() -> None:
    assert seconds_of(TASKS, COSTS, Share()).unmeasured == {"pair": 14}


def test_methods_side_by_side_last_as_long_as_the_longest_line_of_them() -> None:
    """Two at a time on cores enough for both: a beside b, then c after b, the first to be free."""
    assert seconds_of(TASKS, COSTS, Share(2, 1, 2)).wall == pytest.approx(5 + 12)


@pytest.mark.parametrize(("processes", "threads", "cores", "slower"), [(3, 1, 2, 1.5), (2, 2, 2, 2), (1, 4, 2, 1)])
def test_more_threads_than_cores_slow_each_other_down(processes: int, threads: int, cores: int, slower: float) -> None:
    """One process alone was measured with the threads it has, so it is no slower than that."""
    share = Share(processes, threads, cores)
    assert share.slower == slower
    alone = {"a": 12, "b": 3, "c": 2}
    if processes == 1:
        assert seconds_of(TASKS, COSTS, share).wall == pytest.approx(5 + sum(alone.values()))
    if processes == 3:
        assert seconds_of(TASKS, COSTS, share).wall == pytest.approx(5 + 12 * slower)
