"""Telling trackers what a run does while it does it: a thread watches the run's folder, the run knows nothing of it.

A tracker is told every line once, also when the run is killed and continued: what it was told is kept in the run's
folder, with the id of its run there, which is then the same one. Its x axis is the proximal step.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from comal.pipeline.disk.trackers_folder import TrackersFolder
from comal.reports.trackers.figures import run_figures, spend_figures
from comal.reports.trackers.opening import STEP, Opener, Tracker, open_tracker

_SECONDS: Final = 2.0


class Follower:
    """Tells trackers of a run, used as a with block."""

    def __init__(
        self,
        folder: Path,
        methods: Sequence[str],
        trackers: Sequence[str],
        warn: Callable[[str], None],
        opener: Opener | None = None,
    ) -> None:
        """Follow the run in `folder`.

        Args:
            folder: the run's.
            methods: of the run.
            trackers: by name.
            warn: gets a sentence when a tracker fails, which ends that one's telling and not the run.
            opener: opens a tracker (name, where to keep things, name of the run, its id); Accelerate's by default.
        """
        self._folder = folder
        self._methods = list(methods)
        self._names = list(dict.fromkeys(trackers))
        self._warn = warn
        self._opener = open_tracker if opener is None else opener
        self._kept = TrackersFolder(folder)
        self._told: dict[str, Any] = {}
        self._open: dict[str, Tracker] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="trackers", daemon=True)

    def __enter__(self) -> Follower:
        self._told = self._kept.told()
        for name in self._names:
            told = self._told.setdefault(name, {"id": uuid.uuid4().hex[:16], "lines": []})
            try:
                self._open[name] = self._opener(name, self._kept, self._folder.absolute().name, told["id"])
            except Exception as error:  # anything: of a service that is not there, of an account that is none
                self._failed(name, error)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._tell()
        for name, tracker in self._open.items():
            try:
                tracker.finish()
            except Exception as error:
                self._warn(f"{name}: {error}")

    def _watch(self) -> None:
        while not self._stop.wait(_SECONDS):
            self._tell()

    def _tell(self) -> None:
        if not self._open:
            return
        try:
            everything = list(run_figures(self._folder, self._methods))
            spend = spend_figures(self._folder)
        except Exception as error:
            self._warn(f"trackers: {error}")
            return
        for name, tracker in list(self._open.items()):
            lines = set(self._told[name]["lines"])
            new = [figures for figures in everything if figures.key not in lines]
            try:
                for figures in new:
                    tracker.log({**figures.values, STEP: figures.step}, step=figures.step)
                    self._told[name]["lines"].append(figures.key)
                if new and spend:
                    step = max(figures.step for figures in new)
                    tracker.log({**spend, STEP: step}, step=step)
            except Exception as error:
                self._failed(name, error)
            if new:
                self._kept.write_told(self._told)

    def _failed(self, name: str, error: Exception) -> None:
        self._open.pop(name, None)
        self._warn(f"{name} is not told any more: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
