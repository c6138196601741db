"""How long the parts of a run took: `timing.json`, seconds by part over all sessions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from comal.records import from_json, read_plain


def read_timing(path: Path) -> Mapping[str, float]:
    """Wall-clock seconds by part; none where there is no such file.

    Raises:
        RunError: the file cannot be read.
    """
    if not path.is_file():
        return {}
    seconds: Mapping[str, float] = from_json(Mapping[str, float], read_plain(path), str(path))
    return seconds
