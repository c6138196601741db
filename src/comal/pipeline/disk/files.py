"""Writes that either happened or did not, and what is read back."""

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

from comal.errors import RunError

KEPT_SO_FAR = "mend that and type the same command again: what was finished before is kept"
_WRITERS = ("SafetensorError", "PytorchStreamWriter", "unexpected pos")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write a file or folder to; renamed to `path` when the block ends well.

    Raises:
        RunError: the disk is full, or the place cannot be written; nothing of `path` is lost.
    """
    temporary = path.parent / f".{path.name}.tmp-{os.getpid()}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(temporary)
        yield temporary
        flush(temporary)
        if path.is_dir():
            _remove(path)
        temporary.replace(path)
    except Exception as error:
        reason = write_failure(error)
        if reason is None:
            raise
        raise RunError(str(path), f"cannot be written: {reason}; {KEPT_SO_FAR}") from error
    finally:
        with contextlib.suppress(OSError):
            _remove(temporary)


def write_failure(error: BaseException) -> str | None:
    """Why a file could not be written (a full disk, a read-only folder), in words; None for any other error.

    Weights are written by libraries that raise errors of their own kinds and keep the system's only as a text.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.strerror or os.strerror(error.errno)
    text = f"{type(error).__name__}: {error}"
    return text.splitlines()[0] if any(writer in text for writer in _WRITERS) else None


def flush(path: Path) -> None:
    """Make a file, or all the files of a folder, survive a power cut."""
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_file():
            _flush(file)


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, atomically. NaN is refused: a failure must not become a number."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


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


def count_rows(path: Path) -> int:
    """How many rows a table has that `write_table` wrote, without reading them."""
    return int(pq.read_metadata(path).num_rows)


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


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


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
