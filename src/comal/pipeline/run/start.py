"""What comes before the methods: prompts and the starting policy, and how long each part of a run takes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from comal.pipeline.data.prompts import load_pairs, split_prompts
from comal.pipeline.disk.files import remove_folder
from comal.pipeline.disk.layout import HomeFolder
from comal.pipeline.disk.progress import FileProgress
from comal.pipeline.processes.distributed import on_main, state
from comal.recipes.settings import Recipe


def prepare_start(folder: Path, recipe: Recipe, progress: FileProgress) -> None:
    """Bring the recipe's prompts and its starting model into `folder`, where they are not there yet."""
    home = HomeFolder(folder)
    on_main(lambda: _prepare_data(home, recipe))
    with timed(folder, "supervised"):
        if recipe.supervised is not None and not home.supervised.is_made:
            from comal.pipeline.training.supervised import make_supervised

            progress.stage("supervised", 0)
            make_supervised(home.supervised.path, home.pairs(), recipe)
        on_main(lambda: remove_folder(home.supervised.state))


def _prepare_data(home: HomeFolder, recipe: Recipe) -> None:
    if not home.has_prompts:
        home.write_prompts(split_prompts(recipe.prompts, recipe.seed))
    if recipe.supervised is not None and not home.has_pairs:
        home.write_pairs(load_pairs(recipe.supervised.data, "supervised.data", recipe.seed))


@contextlib.contextmanager
def timed(folder: Path, part: str) -> Iterator[None]:
    """Add a part's wall-clock seconds to the folder's timing, over all the processes that worked on it."""
    started = time.monotonic()
    try:
        yield
    finally:
        if state().is_main_process:
            HomeFolder(folder).add_seconds(part, time.monotonic() - started)
