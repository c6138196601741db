"""The Chromium that tests show pages in: the system's, or the one of the environment variable CHROMIUM."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from waiting import LIMIT

PATH = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
WHY_NOT = "there is no Chromium here: `apt-get install chromium`, or name one in CHROMIUM"


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless browser without network."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=PATH,
            # Root in a container, as in CI, has no sandbox; pages here are our own.
            chromium_sandbox=False,
            timeout=LIMIT * 1000,
        )
        yield started
        started.close()
