"""The cache's file: made once, brought up to date without loss, and refused by name when it is something else."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from comal.errors import JudgeError
from comal.judges.base import Comparison
from comal.judges.kept import file as cache_file
from comal.judges.kept.cache import VerdictCache
from comal.judges.kept.file import APPLICATION_ID, SCHEMA_VERSION, check_cache, open_cache
from comal.judges.kept.upkeep import Selection, export_verdicts, read_stats


def version_1(path: Path, count: int = 3) -> dict[Comparison, float]:
    """A file as the first version of comal wrote it."""
    verdicts = {Comparison("x", "a", str(i)): i / 8 for i in range(count)}
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS verdicts (key BLOB PRIMARY KEY, probability REAL NOT NULL,"
            " judge TEXT NOT NULL, created REAL NOT NULL) WITHOUT ROWID"
        )
        connection.execute("PRAGMA user_version=1")
        for number, (c, p) in enumerate(verdicts.items()):
            key = hashlib.sha256(json.dumps(["judge", c.prompt, c.first, c.second]).encode()).digest()
            connection.execute("INSERT INTO verdicts VALUES (?, ?, ?, ?)", (key, p, "judge", 1000.0 + number))
    return verdicts


def test_version_1_loses_nothing_and_learns_its_texts_when_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "v.sqlite"
    verdicts = version_1(path)
    rows = list(export_verdicts(path, Selection()))
    assert [row["probability"] for row in rows] == list(verdicts.values())
    assert [row["time"] for row in rows] == [f"1970-01-01T00:16:4{i}+00:00" for i in range(3)]
    assert {(row["judge"], row["fingerprint"], row["prompt"], row["first"]) for row in rows} == {
        (None, "judge", None, None)
    }
    (judge,) = read_stats(path).judges
    assert (judge.name, judge.verdicts, judge.without_text, judge.text_bytes) == (None, 3, 3, 0)

    asked = list(verdicts)[:2]
    assert VerdictCache(path, "judge", {"name": "mine"}).get(asked) == {c: verdicts[c] for c in asked}
    rows = list(export_verdicts(path, Selection()))
    assert [(r["prompt"], r["first"], r["second"]) for r in rows] == [("x", "a", "0"), ("x", "a", "1"), (None,) * 3]
    assert [row["probability"] for row in rows] == list(verdicts.values())
    (judge,) = read_stats(path).judges
    assert (judge.name, judge.without_text, judge.text_bytes) == ("mine", 1, 4)


def _migrate(path: Path) -> int:
    with open_cache(path) as connection:
        return int(connection.execute("SELECT COUNT(*) FROM verdicts").fetchone()[0])


@pytest.mark.parametrize("old", [True, False])
def test_processes_that_open_one_file_at_once_make_or_upgrade_it_once(tmp_path: Path, old: bool) -> None:
    path = tmp_path / "v.sqlite"
    if old:
        version_1(path, 5)
    else:
        path.touch()
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert pool.map(_migrate, [path] * 16) == [5 if old else 0] * 16
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def database(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
    return path


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (("CREATE TABLE songs (title)",), "database of something else (tables songs)"),
        (("CREATE TABLE verdicts (word)", "PRAGMA user_version=1"), "database of something else (tables verdicts)"),
        (("PRAGMA user_version=7",), "database of something else (tables none)"),
        (
            (f"PRAGMA application_id={APPLICATION_ID}", f"PRAGMA user_version={SCHEMA_VERSION + 1}"),
            f"a verdict cache of version {SCHEMA_VERSION + 1}, and this comal knows versions up to {SCHEMA_VERSION}",
        ),
    ],
)
def test_other_databases_are_refused_and_left_alone(tmp_path: Path, statements: tuple[str, ...], said: str) -> None:
    path = database(tmp_path / "v.sqlite", *statements)
    before = path.read_bytes()
    for use in (lambda: VerdictCache(path, "f").get([]), lambda: read_stats(path), lambda: check_cache(path)):
        with pytest.raises(JudgeError, match=r"v\.sqlite") as caught:
            use()
        assert said in str(caught.value)
        assert "name another file" in str(caught.value)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["v.sqlite"]


def test_places_that_hold_no_database_are_named(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match="there is no verdict cache here"):
        read_stats(tmp_path / "no.sqlite")
    assert list(tmp_path.iterdir()) == []
    check_cache(tmp_path / "no.sqlite")  # a run may make it
    for use in (read_stats, check_cache):
        with pytest.raises(JudgeError, match="cannot be used as a verdict cache"):
            use(tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(JudgeError, match=r"file/v\.sqlite: cannot be used as a verdict cache"):
        VerdictCache(tmp_path / "file" / "v.sqlite", "f").put({})
    (tmp_path / "text").write_text("a diary and not a database, long enough to be taken for a header" * 9)
    with pytest.raises(JudgeError, match="file is not a database"):
        check_cache(tmp_path / "text")


def test_a_lock_that_is_never_let_go_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "v.sqlite"
    VerdictCache(path, "f").put({Comparison("x", "a", "b"): 0.5})
    monkeypatch.setattr(cache_file, "LOCK_SECONDS", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(JudgeError, match=r"is locked: another process has held .* more than 0\.05 s; wait"):
            VerdictCache(path, "f").put({Comparison("x", "a", "c"): 0.5})
        # In the write-ahead log, reading waits for nobody.
        assert VerdictCache(path, "f").get([Comparison("x", "a", "b")]) == {Comparison("x", "a", "b"): 0.5}


def test_a_write_that_fails_in_the_middle_leaves_all_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "v.sqlite"
    VerdictCache(path, "f").put({Comparison("x", "a", "b"): 0.5})
    bad = {Comparison("x", "a", "c"): 0.5, Comparison("x", "a", "d"): None}
    with pytest.raises(JudgeError, match="NOT NULL"):
        VerdictCache(path, "f").put(bad)
    assert read_stats(path).verdicts == 1
