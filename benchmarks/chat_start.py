"""The model that the recipe `chat` starts from, opened outside of a run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from comal.pipeline.disk.layout import DequantisedFolder
from comal.pipeline.processes.distributed import prepare_process
from comal.pipeline.run.dequantised import make_dequantised
from comal.policies.encoder import PromptFormat
from comal.policies.store import PolicyStore
from comal.policies.transformers import Batching, Decoding, TransformersPolicy
from comal.recipes.settings import Recipe


@contextmanager
def untrained(recipe: Recipe) -> Iterator[TransformersPolicy]:
    """A recipe's model of a GGUF file, made anew in a folder that goes again."""
    prepare_process(recipe.threads)
    with tempfile.TemporaryDirectory() as place:
        made = DequantisedFolder(Path(place, "model"))
        make_dequantised(made, recipe.policy)
        store = PolicyStore(
            made.path,
            PromptFormat(recipe.policy.chat_template, recipe.policy.system_prompt, recipe.policy.max_prompt_tokens),
            Decoding(max_new_tokens=recipe.policy.max_new_tokens, batch_size=96),
            Batching(share_prompt=True),
        )
        yield store.open(store.initial)
