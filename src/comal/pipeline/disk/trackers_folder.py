"""What experiment trackers leave in a run's folder, and how far they have been told.

trackers/tensorboard/    event files: `tensorboard --logdir RUN/trackers`
trackers/wandb/          what Weights & Biases keeps on this machine
trackers/mlflow.db       MLflow's runs, where MLFLOW_TRACKING_URI does not say another place: `mlflow ui`
trackers/mlflow/         its artifacts
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
    def mlflow(self) -> Path:
        """MLflow's data base of runs."""
        return self.path / "mlflow.db"

    @property
    def mlflow_artifacts(self) -> Path:
        """What MLflow keeps beside it."""
        return self.path / "mlflow"

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
