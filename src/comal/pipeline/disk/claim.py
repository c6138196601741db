"""Claiming a folder to work in: a run's, a certification's, an evaluation's or an experiment's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock

from comal.errors import RunError
from comal.pipeline.disk.files import clear_temporaries, write_json
from comal.pipeline.disk.method_folder import MethodFolder
from comal.pipeline.disk.work_folder import MarkedFolder, WorkFolder

PATIENCE, ORPHANS_PATIENCE = 5, 120
"""Seconds to wait for whoever works in the folder, and for each of its orphaned workers."""

Refuse = Callable[[Mapping[str, Any], Mapping[str, Any], Path], None]
"""Given what a marker says, the configuration that is wanted and the folder: raises RunError where they differ."""


def claim(
    folder: WorkFolder,
    content: Mapping[str, Any] | None = None,
    refuse: Refuse | None = None,
    workers: Sequence[str] = (),
    option: str = "--output-dir",
) -> filelock.BaseFileLock:
    """Make the folder, or take up what is in it. Call it in one process only.

    Work that another configuration began is refused; one that stopped before it computed anything may be changed.

    Args:
        folder: to claim.
        content: of a marked folder's marker.
        refuse: tells whether work that is there was begun by another configuration; None: by any, it goes on.
        workers: folders within it that workers of their own may still work in.
        option: that names the folder on the command line.

    Returns:
        The folder's lock, to release.

    Raises:
        RunError: the folder is a file, cannot be made, holds something else, or is in use.
    """
    where = str(folder.path)
    if folder.path.exists() and not folder.path.is_dir():
        raise RunError(where, f"this is a file, not a folder; choose another {option}")
    marked = folder if isinstance(folder, MarkedFolder) else None
    if marked is not None:
        _refuse_foreign(marked, option)
        _refuse_other(marked, content, refuse)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(where, f"cannot be made: {error.strerror}; choose another {option}") from error
    lock = filelock.FileLock(folder.lock)
    try:
        # Workers of a killed run notice within a stage that they are orphans; wait for them a little.
        lock.acquire(timeout=PATIENCE)
        _wait_for_orphans(folder, workers)
        if marked is not None:
            clear_temporaries(folder.path)
            _refuse_other(marked, content, refuse)  # again: another process may have worked here before it was ours
            _mark(marked, content)
    except filelock.Timeout as error:
        lock.release()
        raise RunError(where, "another process is working in this folder; wait for it to end") from error
    except BaseException:
        lock.release()
        raise
    return lock


def _refuse_foreign(folder: MarkedFolder, option: str) -> None:
    """Refuse a folder with something in it that is not what a claim that was killed leaves."""
    if folder.is_marked or not folder.path.is_dir():
        return
    half_a_marker = f".{folder.MARKER}.tmp-"
    if any(p.name != folder.lock.name and not p.name.startswith(half_a_marker) for p in folder.path.iterdir()):
        raise RunError(
            str(folder.path), f"the folder is not empty and holds no {folder.HOLDS}; choose another {option}"
        )


def _refuse_other(folder: MarkedFolder, content: Mapping[str, Any] | None, refuse: Refuse | None) -> None:
    if content is None or not folder.is_marked:
        return
    written = folder.written()
    if refuse is not None and folder.holds_work():
        refuse(written, content["recipe"], folder.path)


def _mark(folder: MarkedFolder, content: Mapping[str, Any] | None) -> None:
    """Write the marker, unless it says the same already; by which comal stays as it was then."""
    if content is None:
        return
    if folder.is_marked and _configuration(folder.written()) == _configuration(content):
        return
    if not folder.holds_work():
        folder.forget_preparations()
    write_json(folder.marker, content)


def _configuration(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != "comal"}


def _wait_for_orphans(folder: WorkFolder, workers: Sequence[str]) -> None:
    """Wait for the workers of a killed process, which notice within a stage that they are alone.

    Raises:
        filelock.Timeout: they do not.
    """
    for name in workers:
        worker = MethodFolder(folder.path / name)
        if worker.path.is_dir():
            with filelock.FileLock(worker.lock, timeout=ORPHANS_PATIENCE):
                pass
