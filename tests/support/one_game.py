"""Policies of one known game, the paper's, on every prompt: real language models whose best responses are known.

`recipe` is a small recipe on it; `imitate` makes a model that answers with given frequencies.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import one_token
from comal.games.named import paper
from comal.pipeline.data.prompts import Pair
from comal.pipeline.training.supervised import make_supervised
from comal.policies.base import Prompt
from comal.policies.store import ModelSource, PolicyStore
from comal.recipes.load import validate

P = np.asarray(paper().P)
"""b beats a .9, c beats b .9, a beats c .8."""
ANSWERS = ("a", "b", "c")
START = (0.5, 0.3, 0.2)
PROMPTS = [f"question {i}" for i in range(30)]
SPLITS = {"train": PROMPTS[:12], "validation": PROMPTS[12:18], "test": PROMPTS[18:]}


def recipe(folder: Path, **changes: Any) -> dict[str, Any]:
    """Plain values of a recipe that starts from `imitate`'s folder `start`, which is made here."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "start").is_dir():
        imitate(folder / "start", START)
    for part, prompts in SPLITS.items():
        (folder / f"{part}.jsonl").write_text("".join(json.dumps({"prompt": p}) + "\n" for p in prompts), "utf-8")
    values: dict[str, Any] = {
        "name": "one-game",
        "seed": 0,
        "policy": {"model": str(folder / "start"), "max_new_tokens": 1},
        "prompts": {part: {"source": str(folder / f"{part}.jsonl")} for part in SPLITS},
        "judge": {
            "name": "matrix",
            "games": {prompt: P.tolist() for prompt in PROMPTS},
            "answers": list(ANSWERS),
        },
        "algorithm": {"name": "inpo", "eta": 2.0, "tau": 0.2},
        "steps": 2,
        "sampling": {"prompts": 12, "samples": 8, "batch_size": 96},
        "training": {
            "loss": {"name": "group", "pin_constant": 1.0},
            "learning_rate": 2e-3, "final_learning_rate": 1e-4, "epochs": 4, "prompts_per_batch": 6, "monitor": 0.1,
            "log_prob_batch": 96, "share_prompt": True, "keep_optimizer": True,
        },
        "evaluation": {
            "every": 2, "validation_prompts": 6, "test_prompts": 12, "samples": 16, "best_of": [4], "pool_size": 1,
            "classes": "one_game:letter",
        },
        "threads": 1,
    }  # fmt: skip
    return values | changes


def letter(answer: str) -> str:
    """A classifier: the answer is its own class."""
    return answer if answer in ANSWERS else "other"


def imitate(folder: Path, weights: Sequence[float], base: Path | None = None) -> Path:
    """A model that answers every prompt with these frequencies, trained from `base` or from scratch."""
    counts = np.round(np.asarray(weights) * 40).astype(int)
    pairs = [
        Pair(Prompt.of_text(prompt), answer)
        for prompt in PROMPTS
        for answer, count in zip(ANSWERS, counts, strict=True)
        for _ in range(count)
    ]
    plain = one_token.recipe(folder.parent / "unused", {"name": "mwu", "eta": 1.0})
    plain["supervised"] |= {"epochs": 4, "batch_size": 32, "learning_rate": 5e-3}
    if base is not None:
        plain["policy"] = {"model": str(base), "max_new_tokens": 1}
    make_supervised(folder, pairs, validate(plain))
    return folder


def distribution(folder: Path, prompt: str, base: Path) -> np.ndarray:
    """Probabilities of the three answers under the model in `folder`; the rest of its mass is lost."""
    policy = PolicyStore(ModelSource(base)).open(folder)
    answers = [tuple(policy.tokenizer(a, add_special_tokens=False)["input_ids"]) for a in ANSWERS]
    assert all(len(tokens) == 1 for tokens in answers)
    return np.exp(policy.score_groups([(policy.encoder(Prompt.of_text(prompt)), answers)])[0])
