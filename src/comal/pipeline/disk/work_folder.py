"""What every folder that is worked in has: a lock, and, where it is claimed for good, a marker that says for what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import comal
from comal.errors import RunError
from comal.pipeline.disk.files import read_json

FORMAT = 1
"""Of the folders that this comal makes and reads; it stands in their markers."""


@dataclass(frozen=True, slots=True)
class WorkFolder:
    """A folder that one process works in at a time.

    Attributes:
        path: the folder's.
    """

    path: Path

    @property
    def lock(self) -> Path:
        """Held by the process that works here."""
        return self.path / ".lock"

    @property
    def progress(self) -> Path:
        """What is being done right now, see `comal.pipeline.disk.progress`."""
        return self.path / "progress.json"

    def engine_log(self, process: int) -> Path:
        """What the sampling engine of a process, by its number, has to say, where it is a process of its own."""
        return self.path / f"engine-{process}.log"

    @property
    def door(self) -> Path:
        """How well sampler and scorer of each policy agree, see `comal.policies.door`."""
        return self.path / "door.json"


@dataclass(frozen=True, slots=True)
class MarkedFolder(WorkFolder):
    """A folder with a file that says what it is claimed for.

    Attributes:
        MARKER: that file's name.
        HOLDS: what such a folder holds, in messages.
        KEYS: what its marker says at least, the format among it.
        WORK: patterns of what begun work leaves; before that the folder may be claimed for something else.
    """

    MARKER: ClassVar[str]
    HOLDS: ClassVar[str]
    KEYS: ClassVar[tuple[str, ...]] = ("format", "recipe")
    WORK: ClassVar[tuple[str, ...]] = ()

    @property
    def marker(self) -> Path:
        """Says what the folder is claimed for."""
        return self.path / self.MARKER

    @property
    def is_marked(self) -> bool:
        """Whether the folder is one of its kind."""
        return self.marker.is_file()

    def holds_work(self) -> bool:
        """Whether anything was computed here yet."""
        return any(True for pattern in self.WORK for _ in self.path.glob(pattern))

    def forget_preparations(self) -> None:
        """Remove what was prepared here for another configuration, before anything was computed."""

    def written(self) -> dict[str, Any]:
        """What the marker says.

        Raises:
            RunError: there is none, it is not JSON, or another version of comal wrote it.
        """
        several = self.HOLDS.endswith("s")
        if self.path.is_file():
            article = "" if several else "a "
            raise RunError(str(self.path), f"this is a file; give the folder of {article}{self.HOLDS}")
        if not self.is_marked:
            verb = "are" if several else "is"
            raise RunError(str(self.path), f"there {verb} no {self.HOLDS} here ({self.MARKER} is missing)")
        try:
            found = read_json(self.marker)
        except (ValueError, OSError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
            raise self.unreadable(str(error), "restore or remove it") from error
        if not isinstance(found, Mapping):
            raise self.unreadable("it is no JSON object", "restore or remove it")
        if "format" in found and found["format"] != FORMAT:
            whose = f"comal {found['comal']}" if "comal" in found else "another comal"
            raise self.unreadable(
                f"{whose} wrote it in format {found['format']!r}, and comal {comal.__version__} reads format {FORMAT}"
            )
        for key in self.KEYS:
            if key not in found:
                raise self.unreadable(f"`{key}` is missing", "restore or remove it")
            if key != "format" and not isinstance(found[key], Mapping):
                raise self.unreadable(f"`{key}` is no JSON object", "restore or remove it")
        return dict(found)

    def unreadable(self, why: str, fix: str = "use the comal that wrote it, or another folder") -> RunError:
        """The error about a marker that says nothing to this comal."""
        return RunError(str(self.marker), f"this file of the {self.HOLDS} cannot be read ({why}); {fix}")
