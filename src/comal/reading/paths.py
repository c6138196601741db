"""Paths as people write them."""

from __future__ import annotations

import contextlib
from pathlib import Path


def user_path(text: str) -> Path:
    """The path with the home that a `~` at its beginning stands for; of nobody's home it is a name like any other."""
    path = Path(text)
    with contextlib.suppress(RuntimeError):
        path = path.expanduser()
    return path
