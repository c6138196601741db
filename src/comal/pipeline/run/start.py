"""What comes before the methods: prompts and the starting policy, and how long each part of a run takes."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from comal.models.gguf import is_gguf
from comal.pipeline.data.fit import encoder_of, fit_pairs, fit_prompts, require_positions
from comal.pipeline.data.prompts import load_pairs, split_prompts
from comal.pipeline.disk.files import atomic_path, remove_folder
from comal.pipeline.disk.layout import HomeFolder
from comal.pipeline.disk.progress import FileProgress
from comal.pipeline.processes.distributed import on_main, state
from comal.pipeline.run.dequantised import make_dequantised, with_model
from comal.policies.adapter_folder import architecture_of
from comal.policies.loading import load_tokenizer
from comal.policies.merging import load_whole
from comal.policies.saved import save_checkpoint
from comal.recipes.settings import Recipe

logger = logging.getLogger(__name__)


def prepare_start(folder: Path, recipe: Recipe, progress: FileProgress) -> None:
    """Bring the recipe's prompts and its starting model into `folder`, where they are not there yet."""
    home = HomeFolder(folder)
    on_main(lambda: _prepare_data(home, recipe))
    if recipe.policy.model is not None and is_gguf(recipe.policy.model):
        if not home.dequantised.is_made:
            progress.stage("dequantising", 0)
            on_main(lambda: make_dequantised(home.dequantised, recipe.policy))
        recipe = with_model(recipe, home.dequantised.path)
    if recipe.policy.model is not None:
        on_main(lambda: _fit_data(home, recipe, None))
    with timed(folder, "supervised"):
        if recipe.supervised is not None and not home.supervised.is_made:
            from comal.pipeline.training.supervised import make_supervised

            progress.stage("supervised", 0)
            make_supervised(home.supervised.path, home.pairs(), recipe, home.shares_batches)
        on_main(lambda: remove_folder(home.supervised.state))
    if home.start(recipe) == home.merged_start:
        on_main(lambda: merge_start(home, recipe))
    if recipe.policy.from_scratch is not None:  # its tokenizer has just been made
        on_main(lambda: _fit_data(home, recipe, home.supervised.path))


def _prepare_data(home: HomeFolder, recipe: Recipe) -> None:
    if not home.has_prompts:
        splits = split_prompts(recipe.prompts, recipe.seed)
        home.mark_batches_shared()
        home.write_prompts(splits)
    if recipe.supervised is not None and not home.has_pairs:
        home.write_pairs(load_pairs(recipe.supervised.data, "supervised.data", recipe.seed))


def merge_start(home: HomeFolder, recipe: Recipe) -> None:
    """Make a whole model of the adapter that the recipe starts from: what is trained is a model of its own."""
    if home.merged_start.is_dir():
        return
    policy = recipe.policy
    assert policy.model is not None
    model = load_whole(policy.model, getattr(torch, policy.dtype), policy.revision, policy.trust_remote_code)
    with atomic_path(home.merged_start) as temporary:
        save_checkpoint(model, load_tokenizer(policy.model, None, policy.trust_remote_code), temporary)


def _fit_data(home: HomeFolder, recipe: Recipe, tokenizer: Path | None) -> None:
    """Bring prompts that the policy cannot be shown whole into shape, once, before anything is drawn."""
    if home.long_prompts() is not None or home.drew_answers:
        return
    policy = recipe.policy
    encoder = encoder_of(policy, None if tokenizer is None else str(tokenizer))
    splits = home.prompts()
    fitted = fit_prompts(splits, encoder, policy)
    require_positions(fitted.longest, policy, tokenizer or architecture_of(str(policy.model)))
    if recipe.supervised is not None and tokenizer is None:
        pairs = home.pairs()
        kept = fit_pairs(pairs, encoder, policy)
        if kept != pairs:
            home.write_pairs(kept)
    if fitted.splits != splits:
        home.write_prompts(fitted.splits)
    line = fitted.line()
    if line is not None:
        logger.warning("%s", line)
    home.write_long_prompts(fitted.to_json())


@contextlib.contextmanager
def timed(folder: Path, part: str) -> Iterator[None]:
    """Add a part's wall-clock seconds to the folder's timing, over all the processes that worked on it."""
    started = time.monotonic()
    try:
        yield
    finally:
        if state().is_main_process:
            HomeFolder(folder).add_seconds(part, time.monotonic() - started)
