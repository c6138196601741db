"""Opening trackers, all by Accelerate: one run there for one run here, continued where it was.

tensorboard  event files in the run's folder
wandb        a run of our id, resumed by it
mlflow       a run that has our id as a tag; where MLFLOW_TRACKING_URI says, else in a data base in the run's folder
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from comal.errors import ConfigError, near_match
from comal.pipeline.disk.trackers_folder import TrackersFolder
from comal.pipeline.processes.distributed import state

PACKAGES: Final = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
}
"""By tracker the packages of which it needs one."""
STEP: Final = "proximal step"
_PROJECT: Final = "comal"
_TAG: Final = "comal.run"


class Tracker(Protocol):
    """What is asked of Accelerate's trackers."""

    def log(self, values: dict[str, Any], step: int | None = None) -> None:
        """Log numbers of one step."""

    def finish(self) -> None:
        """Let go."""


Opener = Callable[[str, TrackersFolder, str, str], Tracker]


def check_trackers(names: Sequence[str]) -> None:
    """Raise ConfigError for a tracker that is not known or not installed."""
    for name in names:
        if name not in PACKAGES:
            raise ConfigError("--track", f"`{name}` is no tracker.{near_match(name, PACKAGES)}")
        if not any(importlib.util.find_spec(package) for package in PACKAGES[name]):
            raise ConfigError("--track", f"{name} is not installed; pip install {PACKAGES[name][0]}")


def open_tracker(name: str, folder: TrackersFolder, run: str, id_: str) -> Tracker:
    """One of Accelerate's, continuing the run of this id where the tracker knows it.

    Args:
        name: of the tracker.
        folder: to keep things in; made where it is not there yet.
        run: what the run is called there.
        id_: ours, the same whenever the run goes on.
    """
    from accelerate import tracking

    state()  # its trackers log, which they refuse to before it is there
    folder.path.mkdir(parents=True, exist_ok=True)
    if name == "mlflow":
        return _Mlflow(folder, run, id_)
    if name == "tensorboard":
        opened: Any = tracking.TensorBoardTracker(name, logging_dir=folder.path)
    else:
        opened = tracking.WandBTracker(_PROJECT, id=id_, resume="allow", name=run, dir=str(folder.path))
    if hasattr(opened, "start"):
        opened.start()
    if name == "wandb":
        opened.tracker.define_metric("*", step_metric=STEP)
        return _WithoutStep(opened)
    return opened  # type: ignore[no-any-return]


class _WithoutStep:
    """Weights & Biases drops what has a smaller step than what came before, as a second method's first has."""

    def __init__(self, tracker: Any) -> None:
        self._tracker = tracker

    def log(self, values: dict[str, Any], step: int | None = None) -> None:  # noqa: ARG002
        self._tracker.log(values)

    def finish(self) -> None:
        self._tracker.finish()


class _Mlflow:
    """MLflow gives ids itself, so the run of ours is found by its tag."""

    def __init__(self, folder: TrackersFolder, run: str, id_: str) -> None:
        import mlflow
        from accelerate import tracking

        artifacts = None
        if "MLFLOW_TRACKING_URI" not in os.environ:
            mlflow.set_tracking_uri(f"sqlite:///{folder.mlflow.absolute()}")
            artifacts = folder.mlflow_artifacts.absolute().as_uri()
        known = mlflow.search_runs(
            search_all_experiments=True, output_format="list", filter_string=f"tags.`{_TAG}` = '{id_}'"
        )
        self._tracker = tracking.MLflowTracker(
            _PROJECT,
            logging_dir=artifacts,
            run_id=known[0].info.run_id if known else None,
            run_name=run,
            tags={_TAG: id_},
        )
        self._tracker.start()

    def log(self, values: dict[str, Any], step: int | None = None) -> None:
        # The thread that tells is not the one that opened, and in another one MLflow would begin a run of its own.
        named = {_mlflow_name(name): value for name, value in values.items()}
        self._tracker.log(named, step=step, run_id=self._tracker.tracker.info.run_id)

    def finish(self) -> None:
        self._tracker.finish()


def _mlflow_name(name: str) -> str:
    """MLflow takes letters, digits, and -_./: and spaces."""
    return re.sub(r"[^\w\-./: ]", "_", name)
