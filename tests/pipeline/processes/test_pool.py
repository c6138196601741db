from __future__ import annotations

from pathlib import Path

import filelock
import pytest

from comal.errors import RunError
from comal.pipeline.processes import pool


def test_a_job_that_another_process_does_is_a_users_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "LOCK_SECONDS", 0.01)
    (tmp_path / "comal").mkdir()
    with (
        filelock.FileLock(tmp_path / "comal" / ".lock"),
        pytest.raises(RunError, match="comal: another process is working in this folder"),
        pool.worker_lock(tmp_path, "comal"),
    ):
        pass


def test_a_lock_is_given_back_and_an_error_inside_stays_itself(tmp_path: Path) -> None:
    (tmp_path / "comal").mkdir()
    with pytest.raises(ValueError, match="inside"), pool.worker_lock(tmp_path, "comal"):
        raise ValueError("inside")
    with filelock.FileLock(tmp_path / "comal" / ".lock", timeout=0):
        pass
