"""A `~` is a home where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from comal.reading.paths import user_path


def test_ones_own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/x") == tmp_path / "x"
    assert user_path("a/~/x") == Path("a/~/x")


def test_nobodys_home_is_a_name_that_no_file_has() -> None:
    assert user_path("~nobody-of-that-name/x") == Path("~nobody-of-that-name/x")
