"""Looking into a verdict cache, copying its content out, and making it smaller; all while runs may be using it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from comal.errors import ConfigError, near_match
from comal.judges.kept.file import SCHEMA_VERSION, open_cache, transaction


@dataclass(frozen=True, slots=True)
class JudgeStats:
    """One judge's share of a cache.

    Attributes:
        fingerprint: SHA-256 of the judge's identity, as hexadecimal digits.
        name: of the judge; None of one that only a version 1 file knew.
        description: the judge's whole identity.
        verdicts: kept, one for each presentation order.
        without_text: those of them whose prompt and answers are not known, from a version 1 file.
        text_bytes: of the different prompts and answers that the verdicts are about, in UTF-8.
        first, last: when the oldest and the newest verdict was kept, ISO 8601 in UTC.
    """

    fingerprint: str
    name: str | None
    description: dict[str, Any] | None
    verdicts: int
    without_text: int
    text_bytes: int
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What is in a cache; `bytes` is the size on disk, write-ahead log included."""

    path: str
    schema_version: int
    bytes: int
    verdicts: int
    judges: tuple[JudgeStats, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def find(self, wanted: Sequence[str]) -> list[str]:
        """Fingerprints of the judges called so: by name, or by the first digits of the fingerprint.

        Raises:
            ConfigError: there is no such judge here.
        """
        found: dict[str, None] = {}
        for word in wanted:
            these = [
                j.fingerprint
                for j in self.judges
                if word == j.name or (word and j.fingerprint.startswith(word.lower()))
            ]
            if not these:
                known = {name for j in self.judges for name in (j.name, j.fingerprint[:12]) if name}
                near = near_match(word, known) if known else " It is empty."
                raise ConfigError("--judge", f"`{word}` has no verdicts in {self.path}.{near}")
            found |= dict.fromkeys(these)
        return list(found)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which verdicts: those for which all conditions hold; without any, all.

    Attributes:
        judges: fingerprints, or None for every judge's.
        before: Unix seconds; only verdicts kept before then.
    """

    judges: tuple[str, ...] | None = None
    before: float | None = None

    def condition(self) -> tuple[str, list[Any]]:
        """SQL and its parameters."""
        parts, values = ["1"], list[Any]()
        if self.judges is not None:
            parts.append(f"judge IN ({','.join('?' * len(self.judges))})")
            values += self.judges
        if self.before is not None:
            parts.append("created < ?")
            values.append(self.before)
        return " AND ".join(parts), values


@dataclass(frozen=True, slots=True)
class Pruned:
    """What pruning did; `not_compacted` says why the file may still be as large as before, None if it is not."""

    deleted: int
    kept: int
    bytes_before: int
    bytes_after: int
    not_compacted: str | None


def read_stats(path: Path) -> CacheStats:
    """What is in the cache, judge by judge, the largest first.

    Raises:
        JudgeError: see `comal.judges.kept.file.open_cache`.
    """
    with open_cache(path) as connection, transaction(connection, "DEFERRED"):
        rows = connection.execute(
            "SELECT judge, description, COUNT(*), SUM(prompt IS NULL), MIN(created), MAX(created)"
            " FROM verdicts LEFT JOIN judges ON fingerprint = judge GROUP BY judge ORDER BY COUNT(*) DESC, judge"
        ).fetchall()
        judges = [
            JudgeStats(
                fingerprint,
                None if description is None else str(json.loads(description).get("name")),
                None if description is None else json.loads(description),
                count,
                bare,
                _text_bytes(connection, fingerprint),
                _when(first),
                _when(last),
            )
            for fingerprint, description, count, bare, first, last in rows
        ]
        return CacheStats(str(path), SCHEMA_VERSION, _size(path), sum(j.verdicts for j in judges), tuple(judges))


def count_verdicts(path: Path, selection: Selection) -> int:
    """How many verdicts are selected.

    Raises:
        JudgeError: see `comal.judges.kept.file.open_cache`.
    """
    condition, values = selection.condition()
    with open_cache(path) as connection:
        return _count(connection, condition, values)


def export_verdicts(path: Path, selection: Selection) -> Iterator[dict[str, Any]]:
    """The selected verdicts as plain values, oldest first, as they are at one moment.

    Each is `{"judge", "fingerprint", "prompt", "first", "second", "probability", "time"}`: the judge's identity, the
    digest of it, the texts in the order they were shown, Pr(first ≻ second), and when it was kept (ISO 8601, UTC).
    None stands for what only a version 1 file knew.

    Raises:
        JudgeError: see `comal.judges.kept.file.open_cache`.
    """
    condition, values = selection.condition()
    with open_cache(path) as connection, transaction(connection, "DEFERRED"):
        rows = connection.execute(
            "SELECT description, judge, p.text, a.text, b.text, probability, created FROM verdicts v"
            " LEFT JOIN judges ON fingerprint = judge LEFT JOIN texts p ON p.id = v.prompt"
            " LEFT JOIN texts a ON a.id = v.first LEFT JOIN texts b ON b.id = v.second"
            f" WHERE {condition} ORDER BY created, v.key",
            values,
        )
        for description, fingerprint, prompt, first, second, probability, created in rows:
            yield {
                "judge": None if description is None else json.loads(description),
                "fingerprint": fingerprint,
                "prompt": prompt,
                "first": first,
                "second": second,
                "probability": probability,
                "time": _when(created),
            }


def prune(path: Path, selection: Selection) -> Pruned:
    """Delete the selected verdicts, and texts and judges that no verdict is left of; then give the space back.

    Raises:
        JudgeError: see `comal.judges.kept.file.open_cache`.
    """
    condition, values = selection.condition()
    with open_cache(path) as connection:
        before = _size(path)
        with transaction(connection):
            deleted = connection.execute(f"DELETE FROM verdicts WHERE {condition}", values).rowcount
            connection.execute("DELETE FROM judges WHERE fingerprint NOT IN (SELECT judge FROM verdicts)")
            used = " UNION ".join(
                f"SELECT {column} FROM verdicts WHERE {column} IS NOT NULL" for column in ("prompt", "first", "second")
            )
            connection.execute(f"DELETE FROM texts WHERE id NOT IN ({used})")
            kept = _count(connection, "1", [])
        reason = _compact(connection)
    return Pruned(deleted, kept, before, _size(path), reason)


def _compact(connection: sqlite3.Connection) -> str | None:
    """Rewrite the file without its gaps; why not, when it cannot be done now."""
    try:
        connection.execute("VACUUM")
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError as error:  # in use all the time, or no room for the copy: the pruning holds
        return str(error)
    return "another process is reading it" if busy else None


def _count(connection: sqlite3.Connection, condition: str, values: Sequence[Any]) -> int:
    return int(connection.execute(f"SELECT COUNT(*) FROM verdicts WHERE {condition}", values).fetchone()[0])


def _text_bytes(connection: sqlite3.Connection, fingerprint: str) -> int:
    ids = " UNION ".join(
        f"SELECT {column} FROM verdicts WHERE judge = :judge" for column in ("prompt", "first", "second")
    )
    query = f"SELECT COALESCE(SUM(LENGTH(CAST(text AS BLOB))), 0) FROM texts WHERE id IN ({ids})"
    return int(connection.execute(query, {"judge": fingerprint}).fetchone()[0])


def _size(path: Path) -> int:
    files = (path, path.with_name(f"{path.name}-wal"))
    return sum(file.stat().st_size for file in files if file.is_file())


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
