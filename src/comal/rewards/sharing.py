"""What the rewards of one process have in common: every judge is opened once, whoever asks it."""

from __future__ import annotations

import atexit
import concurrent.futures
import json
import os
import threading
from typing import Any

from comal.judges.asking.sharing import SharedJudge
from comal.judges.base import Judge, Records
from comal.plugins import describe

_MOST_THREADS = 256
"""Groups that wait for their verdicts at a time; what is in flight is the judge's own limit."""


class _Opened:
    """The judges of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.judges: dict[tuple[str, Records], SharedJudge] = {}
        self.threads: concurrent.futures.ThreadPoolExecutor | None = None

    def close(self) -> None:
        """End the threads, then the judges."""
        if self.threads is not None:
            self.threads.shutdown(wait=True, cancel_futures=True)
            self.threads = None
        for judge in self.judges.values():
            judge.close()
        self.judges.clear()


_opened = _Opened()
_of_parents: list[Any] = []


def shared_judge(judge: Judge, records: Records) -> SharedJudge:
    """The one of this process.

    Raises:
        JudgeError: the judge cannot be asked, or a file cannot be used.
    """
    key = _key(judge, records)
    with _opened.lock:
        found = _opened.judges.get(key)
        if found is None:
            found = _opened.judges[key] = SharedJudge(judge, records)
        return found


def release(judge: Judge, records: Records) -> None:
    """Close the one of this process, if it is open."""
    with _opened.lock:
        found = _opened.judges.pop(_key(judge, records), None)
    if found is not None:
        found.close()


def threads() -> concurrent.futures.Executor:
    """For whoever must not wait himself; idle ones are taken again before new ones are made."""
    with _opened.lock:
        if _opened.threads is None:
            _opened.threads = concurrent.futures.ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="reward")
        return _opened.threads


def _key(judge: Judge, records: Records) -> tuple[str, Records]:
    return json.dumps(describe(judge), sort_keys=True, default=str), records


def _begin_anew() -> None:
    """In a process that was forked: threads, locks and connections are the parent's, which this one must not touch."""
    global _opened
    _of_parents.append(_opened)
    _opened = _Opened()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_begin_anew)
atexit.register(lambda: _opened.close())
