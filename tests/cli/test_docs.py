"""The command reference in the docs is what the commands say of themselves."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_command_reference_is_up_to_date() -> None:
    made = runpy.run_path(str(DOCS / "make_commands.py"))["text"]()
    assert (DOCS / "commands.md").read_text(encoding="utf-8") == made, "run `make docs`"
