from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from comal.pipeline.processes import garbage
from comal.pipeline.processes.garbage import YOUNG, collect_less_often, young_garbage_only


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a process of comal's own; all of the suite's is within a block."""
    gc.unfreeze()
    monkeypatch.setattr(garbage, "_entered", 0)
    yield
    gc.freeze()


def test_an_inner_block_does_not_end_the_outer_one() -> None:
    assert gc.get_freeze_count() == 0
    with young_garbage_only():
        old = gc.get_freeze_count()
        assert old > 0
        with young_garbage_only():
            assert gc.get_freeze_count() >= old * 0.99
        assert gc.get_freeze_count() >= old * 0.99, "some may have been freed by their last reference"
    assert gc.get_freeze_count() == 0


def test_an_error_ends_both() -> None:
    with pytest.raises(ValueError, match="inside"), young_garbage_only(), young_garbage_only():
        raise ValueError("inside")
    assert gc.get_freeze_count() == 0
    with young_garbage_only():
        assert gc.get_freeze_count() > 0


def test_a_process_of_ours_looks_for_young_garbage_less_often() -> None:
    before = gc.get_threshold()
    try:
        gc.set_threshold(700, 11, 12)
        collect_less_often()
        assert gc.get_threshold() == (YOUNG, 11, 12)
    finally:
        gc.set_threshold(*before)
