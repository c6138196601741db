"""A process that answers requests, one line of JSON each way, and dies with the one that started it.

Requests go to its standard input and replies come from its standard output; all that it says besides goes to a log.
It leads a process group of its own, so that whatever it starts can be ended with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comal.errors import PolicyError
from comal.policies.engines.base import PLACE

_TAIL_BYTES, _TAIL_LINES, _LINE = 32_768, 4, 220
_TO_END = 10.0
"""Seconds that a process may take to end by itself."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What engines have taken so far.

    Attributes:
        cpu: seconds of processors.
        held: the most bytes that one of them has held at once.
    """

    cpu: float = 0.0
    held: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.cpu + other.cpu, max(self.held, other.held))


Hint = Callable[[str], str | None]
"""What to do about a failure, from what was said of it; None where nothing is known to help."""


class EngineProcess:
    """A running process.

    Args:
        command: to start.
        environment: of the process.
        log: file that its messages are added to; None: a temporary one.
        name: of the engine, in messages.
        hint: what to do about its failures.

    Raises:
        PolicyError: it cannot be started.
    """

    def __init__(
        self, command: list[str], environment: Mapping[str, str], log: Path | None, name: str, hint: Hint
    ) -> None:
        self.name = name
        self.log = log or Path(tempfile.mkstemp(prefix=f"comal-{name}-", suffix=".log")[1])
        self.spent = Spent()
        self._hint = hint
        self._owner = os.getpid()
        self._left = b""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as said:
            self._begins = said.tell()
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    env=dict(environment),
                    start_new_session=True,
                )
            except OSError as error:
                raise PolicyError(
                    f"{PLACE}.python", f"`{command[0]}` cannot be started: {error.strerror}; name a Python that can"
                ) from error

    @property
    def is_alive(self) -> bool:
        """Whether it runs, and is this process's own: not that of one which this one was forked from."""
        return self._owner == os.getpid() and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its number, and that of its group."""
        return self._process.pid

    def ask(self, request: Mapping[str, Any], doing: str, seconds: float | None = None) -> dict[str, Any]:
        """What it replies to a request.

        Args:
            request: in JSON types.
            doing: what is asked of it, in messages: "cannot ...".
            seconds: that it may take; None: as many as it likes.

        Raises:
            PolicyError: it failed, died, or took longer; it is not alive then any more.
        """
        assert self._process.stdin is not None
        deadline = None if seconds is None else time.monotonic() + seconds
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            line = self._line(deadline)
        except BrokenPipeError:
            line = b""
        except TimeoutError as error:
            self.close()
            raise self._error(doing, f"took longer than {seconds:g} s", f"raise {PLACE}.start_timeout") from error
        if not line:
            raise self._error(doing, self._death())
        reply: dict[str, Any] = json.loads(line)
        self.spent = Spent(**reply.pop("spent"))
        if "error" in reply:
            self.close()
            raise self._error(doing, reply["error"])
        return reply

    def close(self) -> None:
        """End it, and all that it started; it gets a little time for that itself."""
        if self._owner != os.getpid():
            return
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(_TO_END)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _line(self, deadline: float | None) -> bytes:
        """The next line of its output; empty where it ended instead.

        Raises:
            TimeoutError: it did not come in time.
        """
        assert self._process.stdout is not None
        parts = [self._left]
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in parts[-1]:
                left = None if deadline is None else deadline - time.monotonic()
                if (left is not None and left <= 0) or not selector.select(left):
                    raise TimeoutError
                read = os.read(self._process.stdout.fileno(), 1 << 20)
                if not read:
                    return b""
                parts.append(read)
        line, _, self._left = b"".join(parts).partition(b"\n")
        return line

    def _death(self) -> str:
        """How it ended, after whatever it started has been ended too."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_TO_END)
        self.close()
        code = self._process.returncode
        if code >= 0:
            return f"its process ended with status {code}"
        name = signal.Signals(-code).name
        return f"its process was killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")

    def _error(self, doing: str, why: str, fix: str | None = None) -> PolicyError:
        tail = self._tail()
        fix = fix or self._hint(f"{why}\n{tail}")
        lines = [line.strip() for line in tail.splitlines() if line.strip(" ^~")][-_TAIL_LINES:]
        said = " | ".join(line if len(line) <= _LINE else line[: _LINE - 1] + "…" for line in lines)
        parts = [f"{self.name} cannot {doing}: {_short(why)}"]
        parts += [] if fix is None else [fix]
        parts += [f"its log is {self.log}" + (f", which ends: {said}" if said else "")]
        return PolicyError(PLACE, "; ".join(parts))

    def _tail(self) -> str:
        """The end of what it has written to its log."""
        with self.log.open("rb") as said:
            said.seek(max(self._begins, said.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return said.read().decode(errors="replace")


def _short(why: str) -> str:
    lines = [line.strip() for line in why.strip().splitlines() if line.strip()] or ["it does not say why"]
    text = " ".join(lines[:3])
    return text if len(text) <= 2 * _LINE else text[: 2 * _LINE - 1] + "…"
