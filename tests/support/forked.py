"""Python commands in processes of their own, forked from one that has imported what takes seconds to import.

A process here does what `python -m MODULE ...` or `python FILE ...` does, from `sys.argv` and the path of imports to
its exit code, and can be killed like it. That comal starts from nothing is left to the tests that launch Python.
"""

from __future__ import annotations

import functools
import multiprocessing
import multiprocessing.connection
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import psutil
import pytest

import tiny_run
from waiting import LIMIT

_CONTEXT = multiprocessing.get_context("forkserver")
_HERE = str(Path(__file__).parent)


@dataclass(frozen=True)
class Started:
    """A process that was started."""

    arguments: Sequence[str]
    process: ForkServerProcess
    stdout: Path

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def wait(self, timeout: float = LIMIT) -> int:
        """The exit code; negative: the signal that ended it."""
        self.process.join(timeout)
        assert self.process.exitcode is not None, f"waited {timeout:g} s for {self.arguments}"
        return self.process.exitcode


def start(
    arguments: Sequence[str],
    stdout: Path,
    stderr: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    own_session: bool = False,
    fork_workers: bool = False,
) -> Started:
    """Begin a command whose first word is `sys.executable`, its output appended to files (None: both to one).

    Workers that it starts launch Python, unless `fork_workers`.
    """
    assert arguments[0] == sys.executable, arguments
    told = dict(tiny_run.environment() if environment is None else environment)
    outputs = (str(stdout), str(stderr or stdout))
    _ensure_server()
    place = _Place(outputs, told, str(folder or Path.cwd()), own_session, fork_workers)
    process = _CONTEXT.Process(target=_become, args=(list(arguments[1:]), place))
    sys.path.append(_HERE)  # handed on, for the new process to find this file by
    process.start()
    sys.path.pop()
    return Started(arguments, process, stdout)


def call(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout: float = LIMIT,
    fork_workers: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    with tempfile.TemporaryDirectory() as outputs:
        stdout, stderr = Path(outputs, "stdout"), Path(outputs, "stderr")
        started = start(arguments, stdout, stderr, environment=environment, folder=folder, fork_workers=fork_workers)
        code = started.wait(timeout)
        said = (path.read_text("utf-8") if path.exists() else "" for path in (stdout, stderr))
        return subprocess.CompletedProcess(list(arguments), code, *said)


def call_ranks(
    count: int, arguments: Sequence[str], *, environment: Mapping[str, str] | None = None, timeout: float = LIMIT
) -> list[subprocess.CompletedProcess[str]]:
    """Run a command in `count` processes that know of each other, as torchrun's do, without torchrun; on CPUs.

    Where one fails the others, which would wait for it, are ended.
    """
    with socket.socket() as free, tempfile.TemporaryDirectory() as outputs:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        told = dict(tiny_run.environment() if environment is None else environment)
        told = {"ACCELERATE_USE_CPU": "true"} | told | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        told |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
        files = [(Path(outputs, f"{rank}.out"), Path(outputs, f"{rank}.err")) for rank in range(count)]
        ranks = [
            start(arguments, *files[rank], environment=told | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
            for rank in range(count)
        ]
        left, until = list(ranks), time.monotonic() + timeout
        while left and not any(rank.process.exitcode for rank in ranks) and time.monotonic() < until:
            multiprocessing.connection.wait([rank.process.sentinel for rank in left], until - time.monotonic())
            left = [rank for rank in left if rank.process.is_alive()]
        for rank in left:
            rank.process.kill()
        codes = [rank.wait() for rank in ranks]
        said = [[path.read_text("utf-8") if path.exists() else "" for path in pair] for pair in files]
        return [
            subprocess.CompletedProcess(list(arguments), code, *texts) for code, texts in zip(codes, said, strict=True)
        ]


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def fork_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Methods and exploiters side by side, of runs in this process, are forks from here on."""
    monkeypatch.setattr("comal.pipeline.processes.pool.subprocess", _FORKING)


class _Worker:
    """What the pool asks of a `subprocess.Popen`."""

    def __class_getitem__(cls, _: object) -> type[_Worker]:
        return cls

    def __init__(self, command: Sequence[str], *, stdin: int, stdout: IO[bytes], stderr: IO[bytes]) -> None:
        assert stdin == subprocess.DEVNULL
        assert stdout is stderr
        self._process = start(command, Path(os.fsdecode(stdout.name)), environment=os.environ).process

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()

    def wait(self) -> None:
        self._process.join()


_FORKING = SimpleNamespace(Popen=_Worker, DEVNULL=subprocess.DEVNULL)


@dataclass(frozen=True)
class _Place:
    """Where a new process is."""

    outputs: tuple[str, str]
    environment: dict[str, str]
    folder: str
    own_session: bool
    fork_workers: bool


def _ensure_server() -> None:
    if multiprocessing.parent_process() is not None:  # itself forked, by the same server as what it forks
        forkserver._forkserver.ensure_running = lambda: None  # type: ignore[attr-defined]
        return
    server = tiny_run.environment() | {"PYTHONPATH": os.pathsep.join([_HERE, *_path_of(os.environ)])}
    with _environment(server):
        _CONTEXT.set_forkserver_preload(["imported_once"])
        forkserver.ensure_running()


def _become(words: list[str], place: _Place) -> None:
    """In the new process: what the interpreter does with its command line."""
    if place.own_session:
        os.setsid()
    for number, path in enumerate(place.outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.environ.clear()
    os.environ.update(place.environment)
    inherited = [p for p in sys.path if p not in ("", str(Path.cwd()), _HERE)]
    added = [p for p in _path_of(place.environment) if p not in inherited]
    os.chdir(place.folder)
    safe = words[0] == "-P"
    words = words[safe:]
    first = {"-m": place.folder, "-c": ""}.get(words[0], str(Path(words[0]).parent))
    sys.path[:] = [*([] if safe else [first]), *added, *inherited]
    if place.fork_workers:
        from comal.pipeline.processes import pool

        pool.subprocess = _FORKING  # type: ignore[assignment]
    if words[:2] == ["-m", "comal.pipeline.worker"]:
        os.getppid = functools.partial(_parent_of_worker, int(words[-1]))
    sys.argv = words[1:] if words[0] == "-m" else words[:1] + words[2:] if words[0] == "-c" else words
    if words[0] == "-m":
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    elif words[0] == "-c":
        exec(words[1], {"__name__": "__main__"})
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


def _parent_of_worker(told: int) -> int:
    """Who started a worker that was forked by the server; 1 after its end."""
    return told if psutil.pid_exists(told) else 1


def _path_of(environment: Mapping[str, str]) -> list[str]:
    return [p for p in environment.get("PYTHONPATH", "").split(os.pathsep) if p]
