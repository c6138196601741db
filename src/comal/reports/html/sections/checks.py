"""What a run checked of itself, one sentence each."""

from __future__ import annotations

from pathlib import Path

from comal.pipeline.data.long_prompts import long_line
from comal.pipeline.disk.layout import RunFolder
from comal.records import read_plain


def checks(folder: Path) -> list[str]:
    """Which file the model is from, how sampler and scorer agree, what became of long prompts; where it is known."""
    run = RunFolder(folder)
    door = read_plain(run.door) if run.door.is_file() else {}
    long = run.long_prompts()
    made = read_plain(run.dequantised.summary) if run.dequantised.is_made else None
    lines = [*([] if made is None else [f"the model was made of {made['line']}"]), *(d["line"] for d in door.values())]
    found = None if long is None else long_line(long)
    return [line[0].upper() + line[1:] + "." for line in [*lines, *([] if found is None else [found])]]
