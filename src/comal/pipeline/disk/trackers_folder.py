"""What experiment trackers leave in a run's folder, and how far they have been told.

trackers/tensorboard/    event files: `tensorboard --logdir RUN/trackers`
trackers/wandb/          what Weights & Biases keeps on this machine
trackers/told.json       which lines of which journal each tracker has, and its run's id there
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comal.pipeline.disk.files import read_json, write_json


@dataclass(frozen=True, slots=True)
class TrackersFolder:
    """A run's trackers.

    Attributes:
        run: the run's folder.
    """

    run: Path

    @property
    def path(self) -> Path:
        """Where trackers put what they keep."""
        return self.run / "trackers"

    @property
    def _told(self) -> Path:
        return self.path / "told.json"

    def told(self) -> dict[str, Any]:
        """By tracker what it was told; empty before the first."""
        if not self._told.is_file():
            return {}
        found: dict[str, Any] = read_json(self._told)
        return found

    def write_told(self, told: Mapping[str, Any]) -> None:
        """Write it."""
        write_json(self._told, told)
