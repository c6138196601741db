"""What a metered judge has spent, counted where a kill cannot lose it, and limits that hold before money is gone.

A request is charged with its upper bound *before* it is sent and corrected when its true usage is known. So the limits
hold for any number of requests in flight, threads and processes, and what was in flight at a kill stays charged in
full: the service may have billed it. The count belongs to a file, not to a process: continuing a run goes on counting.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from comal.errors import JudgeError
from comal.judges.base import ROUNDING, Spend

_SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that may be spent; None is without limit."""

    calls: int | None = None
    tokens: int | None = None
    cost: float | None = None

    def exceeded(self, spend: Spend) -> str | None:
        """The first limit that `spend` is over: `calls`, `tokens` or `cost`."""
        for f in fields(self):
            most = getattr(self, f.name)
            if most is not None and getattr(spend, f.name) > most + ROUNDING:
                return f.name
        return None


def spent_in(path: Path) -> Spend | None:
    """What all judges have spent that count in the file; None where there is no such file, or it is just being made.

    Only looks: whoever counts is not kept waiting.
    """
    if not path.is_file():
        return None
    columns = "SUM(calls), SUM(input_tokens), SUM(output_tokens), SUM(cost)"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            row = connection.execute(f"SELECT {columns} FROM spend").fetchone()
    except sqlite3.Error:
        return None
    return None if row[0] is None else Spend(*row)


class Ledger:
    """The spend of one judge, in an SQLite file that threads and processes share, or in this process only."""

    def __init__(self, path: Path | None, judge: str) -> None:
        """Open, or create, the count of the judge with the fingerprint `judge` in the file at `path`.

        Without a path the count is that of this process: every ledger of the judge adds to it.

        Raises:
            JudgeError: the file cannot be used.
        """
        self.path = path
        self._judge = judge
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        if path is not None:
            with self._explained():
                path.parent.mkdir(parents=True, exist_ok=True)
                self._connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
                self._prepare(self._connection)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()

    def spent(self) -> Spend:
        """The count, with what is in flight at its upper bound."""
        with self._writing():
            return self._read()

    def reserve(self, amount: Spend, limits: Limits) -> str | None:
        """Charge `amount`, unless a limit would be exceeded; returns that limit's name, or None when charged."""
        with self._writing():
            after = self._read() + amount
            exceeded = limits.exceeded(after)
            if exceeded is None:
                self._write(after)
            return exceeded

    def settle(self, reserved: Spend, used: Spend) -> None:
        """Replace what was `reserved` by what was `used`."""
        if reserved != used:
            with self._writing():
                self._write(self._read() - reserved + used)

    def _read(self) -> Spend:
        if self._connection is None:
            return _OF_THIS_PROCESS.get(self._judge, Spend())
        row = self._connection.execute(
            "SELECT calls, input_tokens, output_tokens, cost FROM spend WHERE judge = ?", (self._judge,)
        ).fetchone()
        return Spend(*row) if row else Spend()

    def _write(self, spend: Spend) -> None:
        if self._connection is None:
            _OF_THIS_PROCESS[self._judge] = spend
            return
        row = (self._judge, spend.calls, spend.input_tokens, spend.output_tokens, spend.cost)
        self._connection.execute("INSERT OR REPLACE INTO spend VALUES (?, ?, ?, ?, ?)", row)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock if self._connection is not None else _PROCESS_LOCK, self._explained():
            if self._connection is None:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")  # reading and writing are one: no process comes between
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise JudgeError(
                str(self.path), f"cannot be used to count what a judge spends ({error}); move it away"
            ) from error

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # In the write-ahead log, NORMAL keeps every commit through a kill; only a power cut can cost the last ones.
        connection.execute("PRAGMA synchronous=NORMAL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == _SCHEMA_VERSION:
            return
        if version != 0:
            raise JudgeError(str(self.path), f"counts spending in version {version}, not {_SCHEMA_VERSION}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS spend (judge TEXT PRIMARY KEY, calls INTEGER NOT NULL,"
            " input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, cost REAL NOT NULL) WITHOUT ROWID"
        )
        connection.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")


_OF_THIS_PROCESS: dict[str, Spend] = {}
_PROCESS_LOCK = threading.Lock()
