"""Waiting for what happens, as long as a slow machine may take."""

from __future__ import annotations

import time
from collections.abc import Callable

LIMIT = 600.0
"""Seconds. Only a test whose event never comes runs into it."""


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Return as soon as the condition holds."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, f"waited {LIMIT:g} s for {what}"
        time.sleep(0.02)
