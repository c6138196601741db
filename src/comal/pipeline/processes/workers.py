"""Pieces of work in processes of their own: their locks, the pool that keeps them going, and how they fail."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import filelock

from comal.errors import ComalError, RunError
from comal.pipeline.disk.files import read_json
from comal.pipeline.disk.method_folder import MethodFolder
from comal.pipeline.processes.distributed import state

Work = Literal["method", "exploiter"]
"""What a worker does; see `comal.pipeline.worker`."""


@contextlib.contextmanager
def worker_lock(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock of the piece of work in `folder / name`; of several processes of one run the main one holds it."""
    if not state().is_main_process:
        yield
        return
    with filelock.FileLock(MethodFolder(folder / name).lock, timeout=120):
        yield


def side_by_side(folder: Path, work: Work, names: list[str], processes: int) -> None:
    """One worker process a name (a folder within `folder`), so many at a time; the first failure stops the rest."""
    of_several(work, [(folder, name) for name in names], processes)


def of_several(work: Work, jobs: Sequence[tuple[Path, str]], processes: int) -> None:
    """The same for work in several folders: one worker process for each (folder, name)."""
    waiting, running = list(jobs), dict[tuple[Path, str], subprocess.Popen[bytes]]()
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                folder, name = waiting.pop(0)
                running[folder, name] = _start_worker(folder, work, name)
            for (folder, name), process in list(running.items()):
                if process.poll() is not None:
                    del running[folder, name]
                    if process.returncode != 0:
                        raise _worker_error(folder, name, process.returncode)
            time.sleep(0.1)
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()


def _start_worker(folder: Path, work: Work, name: str) -> subprocess.Popen[bytes]:
    own = MethodFolder(folder / name)
    own.path.mkdir(parents=True, exist_ok=True)
    own.error.unlink(missing_ok=True)
    with own.log.open("ab") as log:
        command = [sys.executable, "-m", "comal.pipeline.worker", work, str(folder), name, str(os.getpid())]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _worker_error(folder: Path, name: str, code: int) -> ComalError:
    own = MethodFolder(folder / name)
    if own.error.is_file():
        error = read_json(own.error)
        return ComalError(error["place"], error["problem"])
    return RunError(str(own.path), f"the worker ended with status {code}; its output is in {own.log}")


@contextlib.contextmanager
def young_garbage_only() -> Iterator[None]:
    """Keep what is alive now out of garbage collection.

    Accelerate collects garbage at the end of every training; walking all that torch and Transformers have imported
    takes 0.3 s each time, more than a proximal step of a small model.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
