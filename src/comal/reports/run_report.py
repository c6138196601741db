"""`report.html` of a run: one file, from the run's artifacts only."""

from __future__ import annotations

from pathlib import Path


def write_report(folder: Path) -> None:
    """Placeholder until the report lands."""
    (folder / "report.html").write_text("<p>see result.json</p>")
