from __future__ import annotations

import math
from pathlib import Path

import pytest

from comal.pipeline.disk.files import (
    atomic_path,
    clear_temporaries,
    link_folder,
    read_json,
    read_notes,
    read_table,
    write_json,
    write_table,
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    value = {"a": [1, 2.5, None], "é": {"x": True}}
    write_json(tmp_path / "deep" / "v.json", value)
    assert read_json(tmp_path / "deep" / "v.json") == value
    columns = {"text": ["a", "é"], "ids": [[1, 2], []], "p": [0.5, None]}
    write_table(tmp_path / "t.parquet", columns)
    assert read_table(tmp_path / "t.parquet") == columns
    assert read_notes(tmp_path / "t.parquet") == {}


def test_notes_are_kept_beside_a_table(tmp_path: Path) -> None:
    notes = {"oracle": {"questions": 3, "é": 0.1}}
    write_table(tmp_path / "t.parquet", {"p": [0.5, None]}, notes)
    assert read_notes(tmp_path / "t.parquet") == notes
    assert read_table(tmp_path / "t.parquet") == {"p": [0.5, None]}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_json(tmp_path / "v.json", 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "v.json", math.nan)

    def torn() -> None:
        with atomic_path(tmp_path / "v.json") as temporary:
            temporary.write_text("half")
            raise RuntimeError("torn")

    with pytest.raises(RuntimeError, match="torn"):
        torn()
    assert read_json(tmp_path / "v.json") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["v.json"]


def test_a_folder_appears_whole_and_replaces_another(tmp_path: Path) -> None:
    target = tmp_path / "checkpoint"
    for content in ("old", "new"):
        with atomic_path(target) as temporary:
            temporary.mkdir()
            (temporary / "weights").write_text(content)
            assert not target.exists() or (target / "weights").read_text() == "old"
    assert (target / "weights").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint"]


def test_what_killed_writes_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a" / ".checkpoint.tmp-123").mkdir(parents=True)
    (tmp_path / "a" / ".checkpoint.tmp-123" / "weights").write_text("half")
    (tmp_path / ".v.json.tmp-7").write_text("half")
    (tmp_path / ".lock").touch()
    (tmp_path / "a" / "notes.tmp-1").write_text("mine")
    clear_temporaries(tmp_path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == [".lock", "a", "notes.tmp-1"]


def test_a_linked_folder_outlives_its_source(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "weights").write_text("w")
    link_folder(source, tmp_path / "model")
    (source / "deep" / "weights").unlink()
    assert (tmp_path / "model" / "deep" / "weights").read_text() == "w"
