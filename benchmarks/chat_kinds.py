"""Kinds of answers that the untrained model of the recipe `chat` gives to validation prompts, by form of the question.

python benchmarks/chat_kinds.py                      # four minutes on one core; the table of docs/results-chat.md
python benchmarks/chat_kinds.py policy.temperature=1 policy.system_prompt="Keep it short."
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from comal.pipeline.disk.layout import DequantisedFolder
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


def main() -> None:
    recipe = load_recipe("chat", sys.argv[1:])
    topics = [topic for topic in TOPICS if split_of(topic) == "validation"][::EVERY]
    asked = [(form, form.format(topic=topic)) for forms in TASKS.values() for form in forms for topic in topics]
    with untrained(recipe) as policy:
        answers = policy.sample([Prompt.of_text(text) for _, text in asked], SAMPLES, SEED)
    shares: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for (form, _), group in zip(asked, answers, strict=True):
        for answer in group:
            shares["all"][kind_of(answer.text)] += 1
            shares[form][kind_of(answer.text)] += 1
    for form, counts in shares.items():
        row = "  ".join(f"{kind} {counts[kind] / counts.total():.2f}" for kind in ("brief", "list", "prose"))
        print(f"{form:<45} {row}  of {counts.total()}")


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


if __name__ == "__main__":
    main()
