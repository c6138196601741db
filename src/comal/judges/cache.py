"""Verdicts kept on disk, so that no comparison is paid for twice, in this run or the next."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from comal.errors import JudgeError
from comal.judges.base import Comparison

_SCHEMA_VERSION = 1
_LOOKUP = 500  # keys a query; SQLite before 3.32 takes 999 parameters


class VerdictCache:
    """Content-addressed verdicts in one SQLite file: the key is a digest of judge, prompt, first and second answer.

    Safe for many processes of one machine at a time (write-ahead log, which needs a local file system). A verdict
    survives the kill of the process that put it. Only probabilities are kept: a failure is asked again next time.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        """Open, or create, the file at `path` for the judge with this `fingerprint`."""
        self.path = path
        self._fingerprint = fingerprint

    def get(self, comparisons: Sequence[Comparison]) -> dict[Comparison, float]:
        """The kept verdicts among `comparisons`."""
        by_key = {self._key(comparison): comparison for comparison in comparisons}
        keys, found = list(by_key), {}
        with self._connection() as connection:
            for start in range(0, len(keys), _LOOKUP):
                some = keys[start : start + _LOOKUP]
                marks = ",".join("?" * len(some))
                rows = connection.execute(f"SELECT key, probability FROM verdicts WHERE key IN ({marks})", some)
                found.update({by_key[key]: probability for key, probability in rows})
        return found

    def put(self, verdicts: Mapping[Comparison, float]) -> None:
        """Keep `verdicts`, all or none; of one already kept the older stays."""
        now = time.time()
        rows = [(self._key(question), p, self._fingerprint, now) for question, p in verdicts.items()]
        with self._connection() as connection, connection:
            connection.executemany("INSERT OR IGNORE INTO verdicts VALUES (?, ?, ?, ?)", rows)

    def _key(self, comparison: Comparison) -> bytes:
        # JSON, because plain concatenation would give ("a", "bc") and ("ab", "c") one key.
        content = [self._fingerprint, comparison.prompt, comparison.first, comparison.second]
        return hashlib.sha256(json.dumps(content).encode()).digest()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        # A fresh connection a use (a fraction of a millisecond) is safe with threads, forks and pickling.
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=60)) as connection:
                self._prepare(connection)
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise JudgeError(
                str(self.path), f"cannot be used as a verdict cache ({error}); move it away, or name another file"
            ) from error

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # In the write-ahead log, NORMAL keeps every commit through a kill; only a power cut can cost the last ones.
        connection.execute("PRAGMA synchronous=NORMAL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == _SCHEMA_VERSION:
            return
        if version != 0:
            raise JudgeError(str(self.path), f"is a verdict cache of version {version}, not {_SCHEMA_VERSION}")
        connection.execute("PRAGMA journal_mode=WAL")
        with connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS verdicts (key BLOB PRIMARY KEY, probability REAL NOT NULL,"
                " judge TEXT NOT NULL, created REAL NOT NULL) WITHOUT ROWID"
            )
            connection.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")
