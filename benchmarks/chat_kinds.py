"""Kinds of answers that the model of the recipe `chat` gives to validation prompts, by form of the question.

python benchmarks/chat_kinds.py                      # the untrained model; four minutes on one core
python benchmarks/chat_kinds.py runs/chat            # the one that a run begins with, after the supervised stage
python benchmarks/chat_kinds.py policy.temperature=1 policy.system_prompt="Keep it short."
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from comal.pipeline.disk.layout import DequantisedFolder, RunFolder
from comal.pipeline.processes.distributed import prepare_process
from comal.pipeline.run.dequantised import make_dequantised
from comal.policies.base import Prompt
from comal.policies.encoder import PromptFormat
from comal.policies.store import PolicyStore
from comal.policies.transformers import Batching, Decoding, TransformersPolicy
from comal.recipes.load import load_recipe
from comal.recipes.settings import Recipe
from comal.tasks.everyday import TASKS, TOPICS, kind_of, split_of

SAMPLES, SEED, EVERY = 4, 1, 3
KINDS = ("brief", "list", "prose", "nothing")


def main() -> None:
    folders, changes = [a for a in sys.argv[1:] if "=" not in a], [a for a in sys.argv[1:] if "=" in a]
    recipe = load_recipe("chat", changes)
    topics = [topic for topic in TOPICS if split_of(topic) == "validation"][::EVERY]
    asked = [(form, form.format(topic=topic)) for forms in TASKS.values() for form in forms for topic in topics]
    with start_of(recipe, Path(folders[0]) if folders else None) as policy:
        answers = policy.sample([Prompt.of_text(text) for _, text in asked], SAMPLES, SEED)
    shares: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for (form, _), group in zip(asked, answers, strict=True):
        for answer in group:
            shares["all"][kind_of(answer.text)] += 1
            shares[form][kind_of(answer.text)] += 1
    for form, counts in shares.items():
        row = "  ".join(f"{kind} {counts[kind] / counts.total():.2f}" for kind in KINDS)
        print(f"{form:<45} {row}  of {counts.total()}")


@contextmanager
def untrained(recipe: Recipe) -> Iterator[TransformersPolicy]:
    """A recipe's model of a GGUF file, made anew in a folder that goes again."""
    prepare_process(recipe.threads)
    with tempfile.TemporaryDirectory() as place:
        made = DequantisedFolder(Path(place, "model"))
        make_dequantised(made, recipe.policy)
        yield opened(recipe, made.path)


@contextmanager
def start_of(recipe: Recipe, run: Path | None) -> Iterator[TransformersPolicy]:
    """The policy that a run in this folder begins with; without one the untrained model."""
    if run is None:
        with untrained(recipe) as policy:
            yield policy
    else:
        prepare_process(recipe.threads)
        yield opened(recipe, RunFolder(run).start(recipe))


def opened(recipe: Recipe, model: str | Path) -> TransformersPolicy:
    """A model as the policy that the recipe would train."""
    policy = recipe.policy
    store = PolicyStore(
        model,
        PromptFormat(policy.chat_template, policy.system_prompt, policy.max_prompt_tokens),
        Decoding(max_new_tokens=policy.max_new_tokens, batch_size=96),
        Batching(share_prompt=True),
    )
    return store.open(store.initial)


if __name__ == "__main__":
    main()
