"""A table of results stands once: what `docs/` shows, LOG.md points to."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def rows(page: Path) -> set[tuple[str, ...]]:
    """The rows of a page's tables that hold a figure, without emphasis."""
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    cells = [tuple(cell.strip() for cell in line.replace("**", "").strip("|").split("|")) for line in lines]
    return {row for row in cells if re.search(r"\d", "".join(row[1:]))}


def test_no_row_of_results_stands_in_the_log_and_in_the_documentation() -> None:
    log = rows(ROOT / "LOG.md")
    assert log, "tables of what was tried stay"
    for page in (ROOT / "docs").glob("*.md"):
        assert not log & rows(page), page.name


def test_links_of_the_log_lead_somewhere() -> None:
    text = (ROOT / "LOG.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        name, _, anchor = target.partition("#")
        page = (ROOT / name).read_text(encoding="utf-8")
        headings = [
            re.sub(r"[^\w -]", "", h.lower()).strip().replace(" ", "-") for h in re.findall(r"^#+ (.*)$", page, re.M)
        ]
        assert not anchor or anchor in headings, target
