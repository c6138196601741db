"""A run is a folder: its paths, and writes that either happened or did not.

run.json               what is run: format, version, the whole recipe
provenance.json        versions, machine and command of every session that worked on it
timing.json            seconds by part, over all sessions
supervised/            the starting policy's checkpoint (absent when the recipe brings a chat model)
.supervised-trainer/   what its training goes on from, while it lasts
<method>/journal.jsonl one line an instruction carried out
<method>/steps/00012/  a proximal step: samples.parquet, targets.parquet, checkpoint/
<method>/looks/00012.* figures on the validation prompts
evaluation/            samples and figures on the test prompts
model/                 the aligned model
result.json, report.html
door.json              how well sampler and scorer agree
audit.json             figures of its judge, if somebody audited it
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SUPERVISED_STATE = ".supervised-trainer"
AUDIT = "audit.json"
DOOR = "door.json"
LONG_PROMPTS = "long_prompts.json"


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write a file or folder to; renamed to `path` when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.tmp-{os.getpid()}"
    _remove(temporary)
    try:
        yield temporary
        flush(temporary)
        if path.is_dir():
            _remove(path)
        temporary.replace(path)
    finally:
        _remove(temporary)


def flush(path: Path) -> None:
    """Make a file, or all the files of a folder, survive a power cut."""
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_file():
            _flush(file)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, atomically. NaN is refused: a failure must not become a number."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """What `write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_table(path: Path, columns: Mapping[str, list[Any]], notes: Mapping[str, Any] | None = None) -> None:
    """Write named columns as Parquet, atomically; `notes` are JSON values kept in the file's metadata."""
    kept = None if notes is None else {key: json.dumps(value) for key, value in notes.items()}
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(dict(columns), metadata=kept), temporary)


def read_table(path: Path) -> dict[str, list[Any]]:
    """What `write_table` wrote."""
    columns: dict[str, list[Any]] = pq.read_table(path).to_pydict()
    return columns


def read_notes(path: Path) -> dict[str, Any]:
    """The notes that `write_table` wrote into a table."""
    metadata = pq.read_schema(path).metadata or {}
    return {key.decode(): json.loads(value) for key, value in metadata.items() if not key.startswith(b"ARROW:")}


def link_folder(source: Path, target: Path) -> None:
    """Make `target` a copy of a folder, by hard links where the file system has them."""

    def link(src: str, dst: str) -> str:
        try:
            os.link(src, dst)
        except OSError:
            shutil.copy2(src, dst)
        return dst

    with atomic_path(target) as temporary:
        shutil.copytree(source, temporary, copy_function=link)


def clear_temporaries(folder: Path) -> None:
    """Remove what writes that were killed left behind. Call it only while holding the folder's lock."""
    for path in sorted(folder.rglob(".*.tmp-*")):
        _remove(path)


def remove_folder(folder: Path) -> None:
    """Delete a checkpoint folder if it is there."""
    shutil.rmtree(folder, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
