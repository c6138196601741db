"""What comes before the methods: prompts and the starting policy, and how long each part of a run takes."""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from comal.pipeline.data.fit import encoder_of, fit_pairs, fit_prompts, require_positions
from comal.pipeline.data.prompts import Pair, PromptSplits, load_pairs, split_prompts
from comal.pipeline.disk.files import LONG_PROMPTS, SUPERVISED_STATE, read_json, write_json
from comal.pipeline.disk.progress import FileProgress
from comal.pipeline.processes.distributed import on_main, state
from comal.pipeline.run.resources import SPLITS
from comal.policies.base import Prompt
from comal.recipes.settings import Recipe

logger = logging.getLogger(__name__)


def prepare_start(folder: Path, recipe: Recipe, progress: FileProgress) -> None:
    """Bring the recipe's prompts and its starting model into `folder`, where they are not there yet."""
    on_main(lambda: _prepare_data(folder, recipe))
    if recipe.policy.model is not None:
        on_main(lambda: _fit_data(folder, recipe, None))
    with timed(folder, "supervised"):
        if recipe.supervised is not None and not (folder / "supervised").is_dir():
            from comal.pipeline.training.supervised import make_supervised

            progress.stage("supervised", 0)
            rows = read_json(folder / "data" / "pairs.json")
            pairs = [Pair(Prompt(tuple(r["messages"])), r["answer"]) for r in rows]
            make_supervised(folder / "supervised", pairs, recipe)
        on_main(lambda: shutil.rmtree(folder / SUPERVISED_STATE, ignore_errors=True))
    if recipe.policy.from_scratch is not None:  # its tokenizer has just been made
        on_main(lambda: _fit_data(folder, recipe, folder / "supervised"))


def _prepare_data(folder: Path, recipe: Recipe) -> None:
    if not (folder / "data" / "prompts.json").is_file():
        _write_prompts(folder / "data", split_prompts(recipe.prompts, recipe.seed))
    if recipe.supervised is not None and not (folder / "data" / "pairs.json").is_file():
        _write_pairs(folder / "data", load_pairs(recipe.supervised.data, "supervised.data", recipe.seed))


def _fit_data(folder: Path, recipe: Recipe, tokenizer: Path | None) -> None:
    """Bring prompts that the policy cannot be shown whole into shape, once, before anything is drawn."""
    data = folder / "data"
    begun = any(p for pattern in ("*/steps", "*/*/steps", "evaluation", "answers") for p in folder.glob(pattern))
    if (data / LONG_PROMPTS).is_file() or begun:
        return
    policy = recipe.policy
    encoder = encoder_of(policy, None if tokenizer is None else str(tokenizer))
    plain = read_json(data / "prompts.json")
    splits = PromptSplits(*(tuple(Prompt(tuple(messages)) for messages in plain[name]) for name in SPLITS))
    fitted = fit_prompts(splits, encoder, policy)
    require_positions(fitted.longest, policy, tokenizer or str(policy.model))
    if recipe.supervised is not None and tokenizer is None:
        rows = read_json(data / "pairs.json")
        pairs = [Pair(Prompt(tuple(r["messages"])), r["answer"]) for r in rows]
        kept = fit_pairs(pairs, encoder, policy)
        if kept != pairs:
            _write_pairs(data, kept)
    if fitted.splits != splits:
        _write_prompts(data, fitted.splits)
    line = fitted.line()
    if line is not None:
        logger.warning("%s", line)
    write_json(data / LONG_PROMPTS, fitted.to_json())


def _write_prompts(data: Path, splits: PromptSplits) -> None:
    plain = {name: [[dict(m) for m in p.messages] for p in getattr(splits, name)] for name in SPLITS}
    write_json(data / "prompts.json", plain)


def _write_pairs(data: Path, pairs: Sequence[Pair]) -> None:
    rows = [{"messages": [dict(m) for m in p.prompt.messages], "answer": p.answer} for p in pairs]
    write_json(data / "pairs.json", rows)


@contextlib.contextmanager
def timed(folder: Path, part: str) -> Iterator[None]:
    """Add a part's wall-clock seconds to timing.json, over all the processes that worked on it."""
    started = time.monotonic()
    try:
        yield
    finally:

        def add() -> None:
            path = folder / "timing.json"
            known = read_json(path) if path.is_file() else {}
            known[part] = round(known.get(part, 0.0) + time.monotonic() - started, 2)
            write_json(path, known)

        if state().is_main_process:
            add()
