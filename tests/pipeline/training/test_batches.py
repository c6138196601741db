"""The batch of an optimiser step is the recipe's: n processes take, together and in order, what one takes alone."""

from __future__ import annotations

import itertools

import pytest

from comal.errors import ConfigError
from comal.pipeline.training.batches import Batch, WholeBatches, batch_here, batch_of
from comal.recipes.settings import DataSource, SupervisedSettings, TrainingSettings


@pytest.mark.parametrize(
    ("at_once", "accumulation", "processes", "expected"),
    [
        (8, 1, 1, (8, 1)),
        (1, 8, 1, (1, 8)),
        (8, 1, 2, (4, 1)),
        (1, 8, 2, (1, 4)),
        (2, 2, 2, (2, 1)),
        (4, 3, 2, (3, 2)),  # 6 rows in each: 4 at once would not divide them
        (5, 2, 2, (5, 1)),
        (3, 4, 4, (3, 1)),
        (1, 32, 8, (1, 4)),
    ],
)
def test_each_process_has_an_equal_part_and_no_more_at_once_than_one_alone(
    at_once: int, accumulation: int, processes: int, expected: tuple[int, int]
) -> None:
    whole = Batch(at_once, accumulation)
    for index in range(processes):
        mine = whole.shared(processes, index, "here")
        assert (mine.at_once, mine.accumulation) == expected
        assert mine.rows == whole.rows
        assert mine.index == index


def test_what_cannot_be_shared_evenly_is_refused() -> None:
    said = (
        r"^here: an optimiser step takes 8 rows \(2 × 4\), which 3 processes cannot share evenly; set it to a multiple"
    )
    with pytest.raises(ConfigError, match=said):
        Batch(2, 4).shared(3, 0, "here")
    with pytest.raises(ConfigError, match=r"takes 8 rows, which 16 processes"):
        Batch(8, 1).shared(16, 0, "here")


def micro_batches(order: list[int], batch: Batch, sizes: list[int], drop_last: bool = False) -> list:
    sampler = WholeBatches(order, batch, sizes, drop_last)
    found = list(sampler)
    assert len(found) == len(sampler)
    return found


ORDER = [7, 3, 0, 9, 1, 8, 2, 6, 4, 5]
SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize("shape", [(4, 1), (1, 4), (2, 2)])
@pytest.mark.parametrize("sizes", [SIZES, [1] * 10], ids=["sizes", "alike"])
def test_steps_are_of_the_same_rows_and_count_each_as_its_size_says(
    processes: int, shape: tuple[int, int], sizes: list[int]
) -> None:
    """Ten rows in steps of 4, 4 and 2. The gradient's weight of row i is share / (n · rounds) · size_i / sum sizes."""
    parts = [Batch(*shape).shared(processes, index, "") for index in range(processes)]
    rounds = [micro_batches(ORDER, part, sizes) for part in parts]
    accumulation = parts[0].accumulation
    at = 0
    for step in (ORDER[:4], ORDER[4:8], ORDER[8:]):
        count = -(-len(step) // (processes * parts[0].at_once))
        assert count <= accumulation
        weights = dict.fromkeys(range(10), 0.0)
        for own in rounds:
            for micro in own[at : at + count]:
                assert 1 <= len(micro) <= shape[0], "no process stands aside, and none takes more than one alone would"
                (share,) = {share for _, share in micro}
                size = sum(sizes[i] for i, _ in micro)
                for i, _ in micro:
                    weights[i] += share / (processes * count) * sizes[i] / size
        total = sum(sizes[i] for i in step)
        assert weights == pytest.approx({i: sizes[i] / total if i in step else 0.0 for i in range(10)})
        at += count
    assert all(len(own) == at for own in rounds)


def test_alone_with_rows_alike_every_share_is_exactly_one() -> None:
    """So that no figure of one process is another than it was."""
    for shape, rows in itertools.product([(4, 1), (3, 1), (2, 2), (1, 4)], [8, 12]):
        found = micro_batches(list(range(rows)), Batch(*shape), [1] * rows)
        assert {share for micro in found[: rows // (shape[0] * shape[1]) * shape[1]] for _, share in micro} == {1.0}


def test_the_last_batch_is_left_out_where_that_is_wanted() -> None:
    assert len(micro_batches(ORDER, Batch(4, 1), SIZES, drop_last=True)) == 2
    assert len(micro_batches(ORDER[:8], Batch(4, 1), SIZES)) == 2


def test_the_trainers_own_names_go_before_ours() -> None:
    assert batch_of(TrainingSettings(prompts_per_batch=3, gradient_accumulation=2)) == Batch(3, 2)
    given = {"gradient_accumulation_steps": 5, "per_device_train_batch_size": 2}
    assert batch_of(TrainingSettings(arguments=given)) == Batch(2, 5)
    supervised = SupervisedSettings(data=DataSource(source="x.jsonl"), batch_size=6)
    assert batch_of(supervised) == Batch(6, 1)
    assert batch_of(supervised.model_copy(update={"arguments": given})) == Batch(2, 5)


@pytest.mark.parametrize("key", ["even_batches", "split_batches"])
def test_another_way_of_cutting_batches_would_have_no_effect(key: str) -> None:
    settings = TrainingSettings(arguments={"accelerator_config": {key: True}})
    with pytest.raises(ConfigError, match=rf"training.arguments.accelerator_config.{key}: it would have no effect"):
        batch_here(settings)
    assert batch_here(settings, shared=False) == Batch(8, 1), "as in a run that was begun before"
    assert batch_here(TrainingSettings(arguments={"accelerator_config": {"non_blocking": False}})) == Batch(8, 1)


@pytest.mark.parametrize("value", [0, -1, "4", 2.0, True, None])
def test_a_number_that_is_none_is_refused(value: object) -> None:
    settings = TrainingSettings(arguments={"gradient_accumulation_steps": value})
    with pytest.raises(ConfigError, match=r"^training.arguments.gradient_accumulation_steps: need 1 or more, got"):
        batch_of(settings)
