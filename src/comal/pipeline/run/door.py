"""The record of the check at the door: how well sampler and scorer agree, by policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comal.pipeline.disk.files import read_json, write_json
from comal.pipeline.disk.work_folder import WorkFolder
from comal.pipeline.processes.distributed import on_main
from comal.pipeline.step.resources import Resources
from comal.pipeline.step.samples import check_door
from comal.policies.engines.base import Sampler


def check_start(folder: Path, shared: Resources) -> None:
    """Check the policy that a run starts from before its first step, and keep what was found.

    Raises:
        PolicyError: what it draws is not what is scored.
    """
    sampler = shared.store.sampler(shared.store.initial)
    check_door(sampler, shared.splits.train)
    keep(folder, "start", sampler)
    sampler.rest()


def keep(folder: Path, name: str, sampler: Sampler | None) -> None:
    """Add what was found of a policy to the folder's record, if it was looked at."""
    found = None if sampler is None else sampler.agreement
    if found is None:
        return
    entry = found.to_json() | {"line": found.line()}

    def add() -> None:
        path = WorkFolder(folder).door
        known: dict[str, Any] = read_json(path) if path.is_file() else {}
        if known.get(name) != entry:
            write_json(path, known | {name: entry})

    on_main(add)
