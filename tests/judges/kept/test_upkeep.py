"""Statistics, export and pruning, alone and while other processes write."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comal.errors import ConfigError
from comal.judges.base import Comparison
from comal.judges.kept import file as cache_file
from comal.judges.kept.cache import VerdictCache
from comal.judges.kept.upkeep import Selection, count_verdicts, export_verdicts, prune, read_stats


def filled(path: Path) -> Path:
    """Three verdicts of judge aa…, kept at seconds 100, 200 and 300, and one of judge ab…, at second 200."""
    one, two = VerdictCache(path, "aa" * 32, {"name": "one"}), VerdictCache(path, "ab" * 32, {"name": "two", "k": 1})
    one.put({Comparison("p", "é", str(i)): i / 4 for i in range(3)})
    two.put({Comparison("p", "é", "only two's"): 1.0})
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE verdicts SET created = 100 + 400 * probability WHERE judge LIKE 'aa%'")
        connection.execute("UPDATE verdicts SET created = 200 WHERE judge LIKE 'ab%'")
    return path


def test_stats_by_judge(tmp_path: Path) -> None:
    found = read_stats(filled(tmp_path / "v"))
    one, two = found.judges
    assert (one.name, one.fingerprint, one.verdicts, one.without_text) == ("one", "aa" * 32, 3, 0)
    assert one.text_bytes == len("p") + len("é".encode()) + 3  # the three answers are one digit each
    assert (one.first, one.last) == ("1970-01-01T00:01:40+00:00", "1970-01-01T00:05:00+00:00")
    assert two.description == {"name": "two", "k": 1}
    assert found.verdicts == 4
    assert found.bytes == sum(p.stat().st_size for p in tmp_path.iterdir() if p.suffix != "" or p.name == "v")
    assert found.to_json()["judges"][0]["name"] == "one"


def test_judges_are_found_by_name_or_first_digits(tmp_path: Path) -> None:
    found = read_stats(filled(tmp_path / "v"))
    assert found.find(["one"]) == found.find(["AAAA"]) == ["aa" * 32]
    assert found.find(["a"]) == found.find(["two", "one"])[::-1] == ["aa" * 32, "ab" * 32]
    with pytest.raises(ConfigError, match=r"`onne` has no verdicts in .* Did you mean `one`\?"):
        found.find(["onne"])
    with pytest.raises(ConfigError):
        found.find([""])


SELECTIONS = {
    "all": (Selection(), 4),
    "a judge": (Selection(("aa" * 32,)), 3),
    "age": (Selection(before=200.0), 1),
    "both": (Selection(("ab" * 32,), before=201.0), 1),
    "none": (Selection(("cc" * 32,)), 0),
}


@pytest.mark.parametrize(("selection", "count"), SELECTIONS.values(), ids=SELECTIONS)
def test_what_is_pruned_is_what_would_have_been_exported_and_the_rest_stays(tmp_path, selection, count) -> None:
    path = filled(tmp_path / "v")
    everything, chosen = list(export_verdicts(path, Selection())), list(export_verdicts(path, selection))
    assert len(chosen) == count_verdicts(path, selection) == count
    done = prune(path, selection)
    assert (done.deleted, done.kept, done.not_compacted) == (count, 4 - count, None)
    rest = list(export_verdicts(path, Selection()))
    assert rest == [row for row in everything if row not in chosen]
    with closing(sqlite3.connect(path)) as connection:
        texts = {text for (text,) in connection.execute("SELECT text FROM texts")}
        judges = {f for (f,) in connection.execute("SELECT fingerprint FROM judges")}
    assert texts == {row[column] for row in rest for column in ("prompt", "first", "second")}
    assert judges == {row["fingerprint"] for row in rest}
    assert prune(path, selection).deleted == 0


@settings(max_examples=12)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=20), st.sampled_from("abc"))
def test_pruning_a_judge_is_never_having_had_it(tmp_path_factory, asked, judge) -> None:
    folder = tmp_path_factory.mktemp("c")
    for name, kept in (("pruned", "abc"), ("never", "abc".replace(judge, ""))):
        VerdictCache(folder / name, "x").put({})
        for who, i in asked:
            if who in kept:
                VerdictCache(folder / name, who).put({Comparison("p", "q", str(i)): i / 9})
    prune(folder / "pruned", Selection((judge,)))

    def content(name):
        rows = export_verdicts(folder / name, Selection())
        return sorted((r["fingerprint"], r["prompt"], r["second"], r["probability"]) for r in rows)

    assert content("pruned") == content("never")


def test_space_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "v"
    VerdictCache(path, "f").put({Comparison("x" * 10_000, "a", str(i)): 0.5 for i in range(2000)})
    VerdictCache(path, "g").put({Comparison(str(i) * 1000, "a", "b"): 0.5 for i in range(10, 300)})
    done = prune(path, Selection(("g",)))
    assert done.not_compacted is None
    assert done.bytes_after == read_stats(path).bytes < done.bytes_before / 2


def test_a_reader_that_stays_does_not_stop_pruning_but_compaction(tmp_path: Path, monkeypatch) -> None:
    path = filled(tmp_path / "v")
    monkeypatch.setattr(cache_file, "LOCK_SECONDS", 0.05)
    reading = export_verdicts(path, Selection())
    first = next(reading)
    done = prune(path, Selection())
    assert (done.deleted, done.kept) == (4, 0)
    assert done.not_compacted
    assert len([first, *reading]) == 4, "an export shows one moment"
    assert list(export_verdicts(path, Selection())) == []
    assert prune(path, Selection()).not_compacted is None


WRITER = """
import sys
from pathlib import Path
from comal.judges.base import Comparison
from comal.judges.kept.cache import VerdictCache
path, judge, start, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
for i in range(start, start + count):
    asked = {Comparison("x", f"{judge} {j}", str(i)): i / 1000 for j in range(3)}
    VerdictCache(path, judge, {"name": judge}).put(asked)
"""


def test_nothing_is_lost_while_others_write_prune_and_export(tmp_path: Path) -> None:
    """Writers of a judge that is kept and of one that is pruned all the time share prompts and answers."""
    path = tmp_path / "v.sqlite"
    VerdictCache(path, "kept", {"name": "kept"}).put({Comparison("x", "y", "z"): 0.5})
    jobs = [("kept", 0, 40), ("kept", 20, 40), ("pruned", 0, 40)]
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, path, *map(str, job)]) for job in jobs]
    seen, pruned = 0, 0
    while any(writer.poll() is None for writer in writers):
        pruned += prune(path, Selection(("pruned",))).deleted
        rows = list(export_verdicts(path, Selection(("kept",))))
        assert len(rows) >= seen, "an export forgot something"
        assert all(row["first"] is not None and row["judge"] == {"name": "kept"} for row in rows)
        seen = len(rows)
        time.sleep(0.01)
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    pruned += prune(path, Selection(("pruned",))).deleted
    assert pruned == 3 * 40
    rows = list(export_verdicts(path, Selection()))
    expected = {("x", "y", "z", 0.5)} | {("x", f"kept {j}", str(i), i / 1000) for i in range(60) for j in range(3)}
    assert {(r["prompt"], r["first"], r["second"], r["probability"]) for r in rows} == expected
    assert len(rows) == len(expected)
