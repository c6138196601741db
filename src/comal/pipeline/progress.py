"""What a method is doing right now, in a small file that a display, or `comal status`, can read at any time."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path


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
