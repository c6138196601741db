"""Verdicts kept on disk, so that no comparison is paid for twice, in this run or the next."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from comal.judges.base import Comparison
from comal.judges.kept.file import open_cache, transaction

FILE_NAME = "verdicts.sqlite"
SPEND_NAME = "spend.sqlite"
"""Of the file beside it, in which a metered judge counts; see `comal.judges.chat.ledger`."""
_LOOKUP = 500  # keys a query; SQLite before 3.32 takes 999 parameters


def shared_cache_path() -> Path:
    r"""The user's own cache, which all runs that ask for `shared` have in common.

    It lies where the platform keeps an application's data (`~/.local/share/comal` or `$XDG_DATA_HOME/comal` on Linux,
    `~/Library/Application Support/comal` on macOS, `%LOCALAPPDATA%\comal` on Windows) and not among its caches, which
    systems clear away: verdicts were paid for.
    """
    import platformdirs

    return platformdirs.user_data_path("comal", appauthor=False) / FILE_NAME


class VerdictCache:
    """Content-addressed verdicts in one SQLite file: the key is a digest of judge, prompt, first and second answer.

    Safe for many processes of one machine at a time (write-ahead log, which needs a local file system). A verdict
    survives the kill of the process that put it. Only probabilities are kept: a failure is asked again next time.
    What the verdicts are about is kept beside them for people to read (`comal cache export`) and never looked up by.
    """

    def __init__(self, path: Path, fingerprint: str, description: Mapping[str, Any] | None = None) -> None:
        """Open, or create, the file at `path` for the judge with this `fingerprint`.

        Args:
            path: of the file.
            fingerprint: of the judge; verdicts belong to it.
            description: the judge in JSON types, for people.
        """
        self.path = path
        self._fingerprint = fingerprint
        self._description = None if description is None else json.dumps(description, sort_keys=True)
        self._turn = threading.Lock()  # SQLite lets a writer sleep until another is done: threads need not

    def get(self, comparisons: Sequence[Comparison]) -> dict[Comparison, float]:
        """The kept verdicts among `comparisons`."""
        with open_cache(self.path, create=True) as connection:
            found, without_text = self._find(connection, comparisons)
            if without_text:
                with transaction(connection):
                    self._describe(connection, without_text)
        return found

    def put(self, verdicts: Mapping[Comparison, float]) -> dict[Comparison, float]:
        """Keep `verdicts`, all or none; of one already kept the older stays.

        Returns:
            What is kept now. Go on with these: where another process was faster, its verdict is what a run that is
            continued later, or any other run, will be given.
        """
        now = time.time()
        rows = [(self._key(question), p, self._fingerprint, now) for question, p in verdicts.items()]
        with self._turn, open_cache(self.path, create=True) as connection, transaction(connection):
            connection.executemany(
                # Not INSERT OR IGNORE, which would also pass over what is no number.
                "INSERT INTO verdicts (key, probability, judge, created) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                rows,
            )
            kept, without_text = self._find(connection, verdicts)
            self._describe(connection, without_text)
        return {question: kept[question] for question in verdicts}

    def _find(
        self, connection: sqlite3.Connection, comparisons: Iterable[Comparison]
    ) -> tuple[dict[Comparison, float], list[Comparison]]:
        """Kept verdicts, and which of them lack their texts."""
        by_key = {self._key(comparison): comparison for comparison in comparisons}
        keys = list(by_key)
        found: dict[Comparison, float] = {}
        without_text: list[Comparison] = []
        for start in range(0, len(keys), _LOOKUP):
            some = keys[start : start + _LOOKUP]
            marks = ",".join("?" * len(some))
            query = f"SELECT key, probability, prompt IS NULL FROM verdicts WHERE key IN ({marks})"
            for key, probability, bare in connection.execute(query, some):
                found[by_key[key]] = probability
                if bare:
                    without_text.append(by_key[key])
        return found, without_text

    def _describe(self, connection: sqlite3.Connection, comparisons: Sequence[Comparison]) -> None:
        """Say of kept verdicts, new ones and those of an older schema, what they are about."""
        if self._description is not None:
            connection.execute("INSERT OR IGNORE INTO judges VALUES (?, ?)", (self._fingerprint, self._description))
        raw = {t: t.encode("utf-8", "surrogatepass") for c in comparisons for t in (c.prompt, c.first, c.second)}
        digests = {text: hashlib.sha256(content).digest() for text, content in raw.items()}
        connection.executemany(
            "INSERT OR IGNORE INTO texts (digest, text) VALUES (?, CAST(? AS TEXT))",
            [(digests[text], content) for text, content in raw.items()],
        )
        ids = {text: _text_id(connection, digest) for text, digest in digests.items()}
        connection.executemany(
            "UPDATE verdicts SET prompt = ?, first = ?, second = ? WHERE key = ?",
            [(ids[c.prompt], ids[c.first], ids[c.second], self._key(c)) for c in comparisons],
        )

    def _key(self, comparison: Comparison) -> bytes:
        # JSON, because plain concatenation would give ("a", "bc") and ("ab", "c") one key.
        content = [self._fingerprint, comparison.prompt, comparison.first, comparison.second]
        return hashlib.sha256(json.dumps(content).encode()).digest()


def _text_id(connection: sqlite3.Connection, digest: bytes) -> int:
    return int(connection.execute("SELECT id FROM texts WHERE digest = ?", (digest,)).fetchone()[0])
