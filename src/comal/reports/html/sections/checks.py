"""What a run checked of itself, one sentence each."""

from __future__ import annotations

from pathlib import Path

from comal.pipeline.data.long_prompts import long_line
from comal.pipeline.disk.layout import RunFolder
from comal.records import read_plain


def checks(folder: Path) -> list[str]:
    """How well sampler and scorer agree, and what became of long prompts; nothing of runs that did not look."""
    run = RunFolder(folder)
    door = read_plain(run.door) if run.door.is_file() else {}
    long = run.long_prompts()
    lines = [entry["line"] for entry in door.values()]
    found = None if long is None else long_line(long)
    return [line[0].upper() + line[1:] + "." for line in [*lines, *([] if found is None else [found])]]
