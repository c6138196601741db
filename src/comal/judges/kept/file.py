"""The file behind the verdict cache: its schema, opening it, and bringing an older one up to date.

    verdicts   key, probability, judge (fingerprint), created (Unix seconds), prompt, first, second (ids in texts)
    judges     fingerprint, description (the judge's identity as JSON, of which the fingerprint is the SHA-256)
    texts      id, digest, text: every prompt and answer once

Version 1 had the first four columns of `verdicts` only. Its verdicts are kept by the migration; what they were about
is not in the file, and is added when a run asks for them again.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from comal.errors import JudgeError

SCHEMA_VERSION = 2
APPLICATION_ID = 0x434F4D4C
"""What SQLite stores in the header of our files ("COML"); version 1 stored nothing."""
LOCK_SECONDS = 60.0
"""How long to wait for another process before giving up."""

_VERSION_1 = ["key", "probability", "judge", "created"]
_CREATE_1 = (
    "CREATE TABLE verdicts (key BLOB PRIMARY KEY, probability REAL NOT NULL, judge TEXT NOT NULL,"
    " created REAL NOT NULL) WITHOUT ROWID"
)
_UPGRADE_1_TO_2 = (
    "ALTER TABLE verdicts ADD COLUMN prompt INTEGER",
    "ALTER TABLE verdicts ADD COLUMN first INTEGER",
    "ALTER TABLE verdicts ADD COLUMN second INTEGER",
    "CREATE TABLE judges (fingerprint TEXT PRIMARY KEY, description TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE texts (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, text TEXT NOT NULL)",
)


@contextmanager
def open_cache(path: Path, *, create: bool = False, wait: float | None = None) -> Iterator[sqlite3.Connection]:
    """A connection to the cache at `path`, without a transaction; an older schema is brought up to date first.

    Args:
        path: the SQLite file.
        create: whether to make the file when it is not there.
        wait: seconds to wait for another process's lock; `LOCK_SECONDS` when left out.

    Raises:
        JudgeError: no such file, not a cache, locked for too long, written by a newer comal, not readable.
    """
    wait = LOCK_SECONDS if wait is None else wait
    if not path.exists():
        if not create:
            raise JudgeError(str(path), "there is no verdict cache here; name its file, or the folder of a run")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(path, str(error), wait) from error
    try:
        # The mode keeps a file that is gone by now from being made empty.
        uri = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
        with closing(sqlite3.connect(uri, uri=True, timeout=wait, isolation_level=None)) as connection:
            # Answers may hold what is no valid Unicode, lone surrogates, which went in as they are.
            connection.text_factory = lambda raw: raw.decode("utf-8", "surrogatepass")
            _prepare(connection, path, wait)
            yield connection
    except sqlite3.Error as error:
        raise _unusable(path, error, wait) from error


def check_cache(path: Path) -> None:
    """Find what would stop `open_cache(path, create=True)`, without making or changing anything.

    Raises:
        JudgeError: something else is at `path`, or a cache of a newer comal.
    """
    if not path.exists():
        return
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=LOCK_SECONDS)) as connection:
            _version(connection, path)
    except sqlite3.Error as error:
        raise _unusable(path, error, LOCK_SECONDS) from error


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """All or nothing: committed when the block ends well, rolled back otherwise."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _prepare(connection: sqlite3.Connection, path: Path, wait: float) -> None:
    # In the write-ahead log, NORMAL keeps every commit through a kill; only a power cut can cost the last ones.
    connection.execute("PRAGMA synchronous=NORMAL")
    if _version(connection, path) == SCHEMA_VERSION:
        return
    _write_ahead(connection, wait)
    with transaction(connection):
        version = _version_here(connection, path)  # again: another process may have been faster
        if version == 0:
            connection.execute(_CREATE_1)
        if version < SCHEMA_VERSION:
            for statement in _UPGRADE_1_TO_2:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _version(connection: sqlite3.Connection, path: Path) -> int:
    with transaction(connection, "DEFERRED"):  # one state of the file: another process may be making it now
        return _version_here(connection, path)


def _version_here(connection: sqlite3.Connection, path: Path) -> int:
    """The schema version, 0 of an empty file.

    Raises:
        JudgeError: a database of something else, or of a newer comal.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    ours = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    if ours and version > SCHEMA_VERSION:
        raise JudgeError(
            str(path),
            f"is a verdict cache of version {version}, and this comal knows versions up to {SCHEMA_VERSION}; upgrade"
            " comal, or name another file",
        )
    if ours:
        return version
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    columns = [row[1] for row in connection.execute("PRAGMA table_info(verdicts)")]
    if version == 0 and not tables:
        return 0
    if version == 1 and tables == ["verdicts"] and columns == _VERSION_1:
        return 1
    raise JudgeError(
        str(path),
        f"is not a verdict cache but a database of something else (tables {', '.join(tables) or 'none'}); name another"
        " file",
    )


def _write_ahead(connection: sqlite3.Connection, wait: float) -> None:
    """Turn the write-ahead log on, for good: readers and one writer then do not wait for one another."""
    end = time.monotonic() + wait
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            # SQLite does not wait here by itself when two processes make the same file at once.
            if not _is_busy(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


def _is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _unusable(path: Path, error: sqlite3.Error | str, wait: float) -> JudgeError:
    if isinstance(error, sqlite3.Error) and _is_busy(error):
        return JudgeError(
            str(path),
            f"is locked: another process has held this verdict cache for more than {wait:g} s; wait for it to end, or"
            " end it",
        )
    return JudgeError(str(path), f"cannot be used as a verdict cache ({error}); move it away, or name another file")
