"""What a method is doing right now, in a small file that a display, or `comal status`, can read at any time."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comal.pipeline.disk.journal import is_step
from comal.pipeline.disk.layout import RunFolder


class OrphanedError(BaseException):
    """The process that started this one is gone; not an Exception, so that nothing carries on after it."""


@dataclass
class FileProgress:
    """Writes stage and step to `path`, whenever they change.

    Attributes:
        parent: process id of the process that must stay alive, or None. A worker whose parent was killed must stop, or
            two runs would write to one folder when the command is typed again.
    """

    path: Path
    steps: int
    parent: int | None = None
    _written: tuple[str, int] | None = field(default=None, init=False)

    def stage(self, name: str, step: int) -> None:
        """Say that proximal step `step` (from 0) has come to stage `name`."""
        if self.parent is not None and os.getppid() != self.parent:
            raise OrphanedError
        if (name, step) == self._written:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.tmp-{os.getpid()}")
        temporary.write_text(json.dumps({"stage": name, "step": step, "steps": self.steps}))
        temporary.replace(self.path)
        self._written = (name, step)


@dataclass(frozen=True, slots=True)
class MethodState:
    """Where a method is.

    Attributes:
        steps: journaled, of those that a recipe's `steps` counts.
        stage: what it was last seen doing; empty before it starts.
        done: whether it has taken all its steps.
        looks: files of its validation figures, oldest first.
    """

    name: str
    steps: int
    stage: str
    done: bool
    looks: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class RunState:
    """Where a run is."""

    methods: tuple[MethodState, ...]
    supervised: bool
    evaluated: bool
    stage: str

    @property
    def steps(self) -> int:
        """Steps journaled by all methods."""
        return sum(m.steps for m in self.methods)

    @property
    def description(self) -> str:
        """One line for people."""
        if self.evaluated:
            return "done"
        active = [m for m in self.methods if m.stage and not m.done]
        if active:
            return "  ".join(f"{m.name}: {m.stage} {m.steps + 1}" for m in active)
        return self.stage or "starting"


def read_state(folder: Path, methods: list[str], steps: int) -> RunState:
    """The state of a run whose methods take `steps` steps each."""
    run = RunFolder(folder)
    states = []
    for name in methods:
        method = run.method(name)
        taken = min(steps, _journaled_steps(method.journal))
        looks = tuple(method.look_files().values())
        states.append(MethodState(name, taken, _stage(method.progress), method.has_taken(steps), looks))
    return RunState(tuple(states), run.supervised.is_made, run.is_finished, _stage(run.progress))


def journal_entries(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal that may be in use."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n")[:-1]]


def _journaled_steps(path: Path) -> int:
    return sum(is_step(entry["instruction"]) for entry in journal_entries(path))


def _stage(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["stage"])
    except (OSError, ValueError, KeyError):
        return ""
