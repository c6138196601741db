"""One picture of a finished run."""

from __future__ import annotations

from pathlib import Path

import pytest

from comal.errors import RunError
from comal.reports.run_figure import save_overview
from fake_run import write_run


def test_the_overview_is_drawn(tmp_path: Path) -> None:
    save_overview(write_run(tmp_path / "run"), tmp_path / "images" / "overview.svg")
    text = (tmp_path / "images" / "overview.svg").read_text(encoding="utf-8")
    assert text.count("<!-- description -->") == 1
    assert "<!-- 54.3% -->" in text


def test_without_classes_the_right_half_stands_alone(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", evaluation={"judge": None, "classes": None})
    save_overview(folder, tmp_path / "overview.svg")
    assert "<!-- 54.3% -->" in (tmp_path / "overview.svg").read_text(encoding="utf-8")


def test_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no result yet"):
        save_overview(write_run(tmp_path / "run", finished=False), tmp_path / "overview.png")
