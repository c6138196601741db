"""What comes before the methods: prompts and the starting policy, and how long each part of a run takes."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from comal.pipeline.data.prompts import Pair, load_pairs, split_prompts
from comal.pipeline.disk.files import SUPERVISED_STATE, read_json, write_json
from comal.pipeline.disk.progress import FileProgress
from comal.pipeline.disk.timing import read_timing
from comal.pipeline.processes.distributed import on_main, state
from comal.pipeline.run.resources import SPLITS
from comal.policies.base import Prompt
from comal.recipes.settings import Recipe


def prepare_start(folder: Path, recipe: Recipe, progress: FileProgress) -> None:
    """Bring the recipe's prompts and its starting model into `folder`, where they are not there yet."""
    on_main(lambda: _prepare_data(folder, recipe))
    with timed(folder, "supervised"):
        if recipe.supervised is not None and not (folder / "supervised").is_dir():
            from comal.pipeline.training.supervised import make_supervised

            progress.stage("supervised", 0)
            rows = read_json(folder / "data" / "pairs.json")
            pairs = [Pair(Prompt(tuple(r["messages"])), r["answer"]) for r in rows]
            make_supervised(folder / "supervised", pairs, recipe)
        on_main(lambda: shutil.rmtree(folder / SUPERVISED_STATE, ignore_errors=True))


def _prepare_data(folder: Path, recipe: Recipe) -> None:
    if not (folder / "data" / "prompts.json").is_file():
        splits = split_prompts(recipe.prompts, recipe.seed)
        plain = {name: [[dict(m) for m in p.messages] for p in getattr(splits, name)] for name in SPLITS}
        write_json(folder / "data" / "prompts.json", plain)
    if recipe.supervised is not None and not (folder / "data" / "pairs.json").is_file():
        pairs = load_pairs(recipe.supervised.data, "supervised.data", recipe.seed)
        rows = [{"messages": [dict(m) for m in p.prompt.messages], "answer": p.answer} for p in pairs]
        write_json(folder / "data" / "pairs.json", rows)


@contextlib.contextmanager
def timed(folder: Path, part: str) -> Iterator[None]:
    """Add a part's wall-clock seconds to timing.json, over all the processes that worked on it."""
    started = time.monotonic()
    try:
        yield
    finally:

        def add() -> None:
            path = folder / "timing.json"
            known = dict(read_timing(path))
            known[part] = round(known.get(part, 0.0) + time.monotonic() - started, 2)
            write_json(path, known)

        if state().is_main_process:
            add()
