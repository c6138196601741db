"""The policy that a calibration measures: the recipe's own, or an untrained one of the same shape.

A model made from scratch, and one that a supervised stage is yet to train, cost what the trained one will cost, but
for the length of answers: they know of no end. There answers are taken to be as long as those of the supervised stage.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from comal.errors import ConfigError
from comal.models.gguf import is_gguf
from comal.pipeline.data.fit import encoder_of, fit_pairs, fit_prompts, require_positions
from comal.pipeline.data.prompts import Pair, PromptSplits, load_pairs, split_prompts
from comal.pipeline.disk.layout import HomeFolder
from comal.pipeline.run.dequantised import make_dequantised, with_model
from comal.pipeline.run.resources import open_store
from comal.pipeline.run.start import merge_start
from comal.pipeline.step.samples import Samples
from comal.pipeline.training.supervised import scratch_model, scratch_tokenizer
from comal.policies.adapter_folder import architecture_of
from comal.policies.base import Completion, Prompt
from comal.policies.store import PolicyStore
from comal.policies.transformers import TransformersPolicy
from comal.reading.paths import user_path
from comal.recipes.settings import Recipe

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Start:
    """What there is before anything is measured.

    Attributes:
        store: of the policies.
        splits: prompts.
        pairs: of the supervised stage; none without one.
    """

    store: PolicyStore
    splits: PromptSplits
    pairs: tuple[Pair, ...]


def prepare(folder: Path, recipe: Recipe) -> Start:
    """Bring prompts and a model of the recipe's shape together; what has to be on disk for that goes to `folder`.

    Raises:
        ConfigError: the model lies on a hub and not on this machine.
        ComalError: anything wrong with data or model.
    """
    home = HomeFolder(folder)
    if recipe.policy.model is not None and is_gguf(recipe.policy.model):
        make_dequantised(home.dequantised, recipe.policy)
        recipe = with_model(recipe, home.dequantised.path)
    policy = recipe.policy
    _require_here(recipe)
    splits = split_prompts(recipe.prompts, recipe.seed)
    pairs = [] if recipe.supervised is None else load_pairs(recipe.supervised.data, "supervised.data", recipe.seed)
    made = None
    if policy.from_scratch is not None:
        made = home.supervised.path
        tokenizer = scratch_tokenizer(policy.from_scratch, [t for p in pairs for t in (p.prompt.text, p.answer)])
        scratch_model(policy.from_scratch, tokenizer, recipe.seed).save_pretrained(made)
        tokenizer.save_pretrained(made)
    else:
        recipe = recipe.model_copy(update={"supervised": None})  # the store is to open the model that it begins with
        if home.start(recipe) == home.merged_start:
            merge_start(home, recipe)
    encoder = encoder_of(policy, None if made is None else str(made))
    fitted = fit_prompts(splits, encoder, policy)
    require_positions(fitted.longest, policy, made or architecture_of(str(policy.model)))
    kept = fit_pairs(pairs, encoder, policy) if pairs and made is None else pairs
    return Start(open_store(folder, recipe), fitted.splits, tuple(kept))


def _require_here(recipe: Recipe) -> None:
    from huggingface_hub import try_to_load_from_cache

    name, revision = recipe.policy.model, recipe.policy.revision
    if name is None or user_path(name).is_dir():
        return
    if not isinstance(try_to_load_from_cache(name, "config.json", revision=revision), str):
        raise ConfigError(
            "policy.model",
            f"`{name}` is not on this machine, so nothing can be measured; `hf download {name}` brings it here, and"
            " `comal plan` without --calibrate counts without it",
        )


def cycled(items: Sequence[T], count: int) -> list[T]:
    """So many of them; the first ones again where there are fewer."""
    return [items[i % len(items)] for i in range(count)]


def supposed(policy: TransformersPolicy, pairs: Sequence[Pair], prompts: Sequence[Prompt], count: int) -> Samples:
    """`count` answers to each prompt, drawn from those of the supervised stage: of the lengths that it will teach."""
    rng = random.Random("supposed answers")
    limit = policy.decoding.max_new_tokens
    texts = rng.choices([pair.answer for pair in pairs], k=len(prompts) * count)
    whole = {text: policy.encode_answer(text) for text in set(texts)}
    answers = [Completion(text, whole[text][:limit], len(whole[text]) <= limit) for text in texts]
    return Samples(tuple(prompts), tuple(tuple(answers[i * count : (i + 1) * count]) for i in range(len(prompts))))


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long answers are taken to be, and why.

    Attributes:
        source: `drawn`: answers that the model gave; `supervised`: those that it is yet to be taught.
        answers: how many were looked at.
        mean, median, longest: tokens.
        unfinished: share that hit the limit.
        mean_bytes: of their texts, in UTF-8.
    """

    source: str
    answers: int
    mean: float
    median: float
    longest: int
    unfinished: float
    mean_bytes: float

    @classmethod
    def of(cls, samples: Samples, source: str) -> Lengths:
        """Those of some answers."""
        tokens = [len(c.token_ids) for group in samples.completions for c in group]
        sizes = [len(text.encode()) for group in samples.texts for text in group]
        return cls(
            source, len(tokens), samples.mean_tokens, float(np.median(tokens)), max(tokens), samples.unfinished,
            float(np.mean(sizes)),
        )  # fmt: skip
