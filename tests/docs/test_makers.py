"""The programs that write pages and figures of the documentation read their arguments as programs do."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
MAKERS = sorted(path.name for path in DOCS.glob("make_*.py"))


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(("argument", "status"), [("--help", 0), ("--no-such-option", 2)])
def test_an_option_is_no_name_of_a_file(
    name: str, argument: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    main = runpy.run_path(str(DOCS / name))["main"]
    with pytest.raises(SystemExit) as ended:
        main([argument])
    assert ended.value.code == status
    assert list(tmp_path.iterdir()) == []


def test_a_page_goes_where_it_is_told(tmp_path: Path) -> None:
    main = runpy.run_path(str(DOCS / "make_commands.py"))["main"]
    main([str(tmp_path / "page.md")])
    assert (tmp_path / "page.md").read_text(encoding="utf-8").startswith("# Commands")
