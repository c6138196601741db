"""What a method is doing right now, in a small file that a display, or `comal status`, can read at any time."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class OrphanedError(BaseException):
    """The process that started this one is gone; not an Exception, so that nothing carries on after it."""


@dataclass
class FileProgress:
    """Writes stage and step to `path`, at most ten times a second.

    Attributes:
        parent: process id of the process that must stay alive, or None. A worker whose parent was killed must stop, or
            two runs would write to one folder when the command is typed again.
    """

    path: Path
    steps: int
    parent: int | None = None
    _last: float = field(default=0.0, init=False)

    def stage(self, name: str, step: int) -> None:
        """Say that proximal step `step` (from 0) has come to stage `name`."""
        if self.parent is not None and os.getppid() != self.parent:
            raise OrphanedError
        now = time.monotonic()
        if now - self._last < 0.1:
            return
        self._last = now
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.tmp-{os.getpid()}")
        temporary.write_text(json.dumps({"stage": name, "step": step, "steps": self.steps}))
        temporary.replace(self.path)


@dataclass(frozen=True, slots=True)
class MethodState:
    """Where a method is.

    Attributes:
        steps: proximal steps journaled.
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
        """Proximal steps journaled by all methods."""
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
    """The state of a run whose methods take `steps` proximal steps each."""
    states = []
    for name in methods:
        taken = min(steps, _journaled_steps(folder / name / "journal.jsonl"))
        looks = tuple(sorted((folder / name / "looks").glob("[0-9]*.json")))
        done = (folder / name / "final.json").is_file()
        states.append(MethodState(name, taken, _stage(folder / name / "progress.json"), done, looks))
    return RunState(
        tuple(states),
        (folder / "supervised").is_dir(),
        (folder / "result.json").is_file(),
        _stage(folder / "progress.json"),
    )


def journal_entries(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal that may be in use."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n")[:-1]]


def _journaled_steps(path: Path) -> int:
    return sum(entry["instruction"]["do"] == "prox" for entry in journal_entries(path))


def _stage(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["stage"])
    except (OSError, ValueError, KeyError):
        return ""
