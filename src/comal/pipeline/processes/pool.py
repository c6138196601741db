"""Jobs in worker processes of their own: their locks, the pool that keeps them going, and how they fail."""

from __future__ import annotations

import contextlib
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

Job = Literal["method", "exploiter"]
"""What a worker does; see `comal.pipeline.worker`."""

LOCK_SECONDS = 120
"""How long the orphans of a killed run may take to notice that they are alone."""


@contextlib.contextmanager
def worker_lock(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock of the job in `folder / name`; of several processes of one run the main one holds it.

    Raises:
        RunError: another process holds it.
    """
    if not state().is_main_process:
        yield
        return
    lock = filelock.FileLock(MethodFolder(folder / name).lock)
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except filelock.Timeout as error:
        raise RunError(str(folder / name), "another process is working in this folder; wait for it to end") from error
    try:
        yield
    finally:
        lock.release()


def side_by_side(folder: Path, job: Job, names: list[str], processes: int) -> None:
    """One worker process a name (a folder within `folder`), so many at a time; the first failure stops the rest."""
    of_several(job, [(folder, name) for name in names], processes)


def of_several(job: Job, places: Sequence[tuple[Path, str]], processes: int) -> None:
    """The same for jobs in several folders: one worker process for each (folder, name)."""
    waiting, running = list(places), dict[tuple[Path, str], subprocess.Popen[bytes]]()
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                folder, name = waiting.pop(0)
                running[folder, name] = _start_worker(folder, job, name)
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


def python_module(name: str) -> list[str]:
    """The command that runs a module of ours in a process that finds what this one does."""
    # With -m Python puts the working folder before what is installed.
    safe = [] if sys.path[:1] in ([""], [str(Path.cwd())]) else ["-P"]
    return [sys.executable, *safe, "-m", name]


def _start_worker(folder: Path, job: Job, name: str) -> subprocess.Popen[bytes]:
    own = MethodFolder(folder / name)
    own.path.mkdir(parents=True, exist_ok=True)
    own.error.unlink(missing_ok=True)
    with own.log.open("ab") as log:
        command = [*python_module("comal.pipeline.worker"), job, str(folder), name, str(os.getpid())]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _worker_error(folder: Path, name: str, code: int) -> ComalError:
    own = MethodFolder(folder / name)
    if own.error.is_file():
        error = read_json(own.error)
        return ComalError(error["place"], error["problem"])
    return RunError(str(own.path), f"the worker ended with status {code}; its output is in {own.log}")
