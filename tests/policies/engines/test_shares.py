"""Which processes of torchrun draw, on which accelerators, and what each of them gets to draw."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from comal.errors import PolicyError
from comal.pipeline.processes import distributed
from comal.policies import device
from comal.policies.engines import vllm


def processes(monkeypatch: pytest.MonkeyPatch, count: int, index: int, on_cpu: bool = False) -> None:
    state = SimpleNamespace(num_processes=count, process_index=index, local_process_index=index)
    monkeypatch.setattr(device, "state", lambda: state)
    monkeypatch.setattr(device, "on_cpu", lambda: on_cpu)
    monkeypatch.setattr(distributed, "state", lambda: state)
    monkeypatch.setattr("accelerate.utils.gather_object", lambda rows: rows)


@pytest.mark.parametrize(
    ("count", "index", "width", "visible", "expected"),
    [
        (1, 0, 1, None, (1, 1, None)),
        (1, 0, 2, None, (1, 1, None)),
        (2, 1, 1, None, (2, 1, "1")),
        (4, 2, 2, None, (2, 2, "2,3")),
        (4, 2, 2, "4,5,6,7", (2, 2, "6,7")),
    ],
)
def test_an_engine_has_the_accelerators_of_its_process_and_of_those_it_draws_for(
    monkeypatch: pytest.MonkeyPatch, count: int, index: int, width: int, visible: str | None, expected: object
) -> None:
    processes(monkeypatch, count, index)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert vllm._shares(width) == expected


def test_engines_that_cannot_be_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    processes(monkeypatch, 4, 0)
    with pytest.raises(PolicyError, match="engines across 3 accelerators cannot be shared out among 4 processes"):
        vllm._shares(3)
    processes(monkeypatch, 2, 1, on_cpu=True)
    assert vllm._shares(1) == (2, 1, None)


def test_only_the_processes_that_have_an_engine_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    for index, drawn in enumerate(([0, 1, 4], [], [2, 3], [])):
        processes(monkeypatch, 4, index)
        done: list[int] = []
        with pytest.raises(KeyError):  # the rows of the others, which are not gathered here
            distributed.map_chunks(lambda chunk, done=done: done.extend(chunk) or chunk, range(5), 2, stride=2)
        assert done == drawn
