"""A real language model whose answers are single tokens, one finite game a prompt: equilibria that are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from comal.games.named import paper, random, weighted_rock_paper_scissors
from comal.pipeline.data.prompts import Pair
from comal.pipeline.training.supervised import make_supervised
from comal.policies.base import Prompt
from comal.policies.store import ModelSource, PolicyStore
from comal.recipes.load import validate

ANSWERS = ("a", "b", "c", "d", "e")


def games() -> dict[str, np.ndarray]:
    """Preference matrices by prompt, all with Nash policies that give every answer; the first is the paper's."""
    five = np.asarray(random(5, seed=127).P)
    return {
        "game 1": np.asarray(paper().P),
        "game 2": np.asarray(weighted_rock_paper_scissors(0.4, 0.2, 0.3).P),
        "game 3": five[np.ix_([0, 3, 2, 1, 4], [0, 3, 2, 1, 4])],
        "game 4": five[np.ix_([3, 4, 1, 2, 0], [3, 4, 1, 2, 0])],
    }


def recipe(folder: Path, algorithm: dict[str, Any], *, answers: int = 200, **changes: Any) -> dict[str, Any]:
    """Plain values of a recipe on these games, with its data files written to `folder`; so many answers a prompt."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = games()
    held_out = {f"held out {i}": tables["game 1"] for i in range(4)}
    rng = np.random.default_rng(0)
    pairs = [
        {"prompt": prompt, "answer": str(answer)}
        for prompt, P in (tables | held_out).items()
        # A skewed start: that is what exposes a fixed reference.
        for answer in rng.choice(ANSWERS[: len(P)], size=answers, p=_skewed(len(P)))
    ]
    _write(folder / "pairs.jsonl", pairs)
    _write(folder / "train.jsonl", [{"prompt": p} for p in tables])
    _write(folder / "validation.jsonl", [{"prompt": p} for p in list(held_out)[:2]])
    _write(folder / "test.jsonl", [{"prompt": p} for p in list(held_out)[2:]])
    values: dict[str, Any] = {
        "name": "one-token",
        "seed": 0,
        "policy": {
            "from_scratch": {
                "vocab_size": 280, "hidden_size": 64, "intermediate_size": 128, "layers": 2, "heads": 2,
            },
            "max_new_tokens": 1,
        },
        "supervised": {
            "data": {"source": str(folder / "pairs.jsonl")},
            "epochs": 4, "learning_rate": 3e-3, "batch_size": 64,
        },
        "prompts": {part: {"source": str(folder / f"{part}.jsonl")} for part in ("train", "validation", "test")},
        "judge": {
            "name": "matrix",
            "games": {prompt: P.tolist() for prompt, P in (tables | held_out).items()},
            "answers": {prompt: list(ANSWERS[: len(P)]) for prompt, P in (tables | held_out).items()},
        },
        "algorithm": algorithm,
        "steps": 80,
        "sampling": {"prompts": 40, "samples": 16, "batch_size": 640},
        "training": {
            "loss": {"name": "group", "pin_constant": 1.0},
            "learning_rate": 2e-3, "epochs": 6, "prompts_per_batch": 10, "monitor": 0.1,
            "log_prob_batch": 640, "share_prompt": True, "keep_optimizer": True,
        },
        "evaluation": {"every": 1000, "validation_prompts": 2, "test_prompts": 2, "best_of": [], "pool_size": 0},
        "threads": 1,
    }  # fmt: skip
    return values | changes


def skewed_start(folder: Path) -> Path:
    """A model that answers each game's prompt by a skewed policy of single tokens."""
    values = recipe(folder / "data", {"name": "mwu", "eta": 1.0})
    lines = (folder / "data" / "pairs.jsonl").read_text("utf-8").splitlines()
    pairs = [Pair(Prompt.of_text(row["prompt"]), row["answer"]) for row in map(json.loads, lines)]
    make_supervised(folder / "start", pairs, validate(values))
    return folder / "start"


def policies(folder: Path) -> list[np.ndarray]:
    """Each game's policy under a model; what it gives to no answer of the game is lost."""
    policy = PolicyStore(ModelSource(folder)).open(folder)
    found = []
    for prompt, P in games().items():
        answers = [tuple(policy.tokenizer(a, add_special_tokens=False)["input_ids"]) for a in ANSWERS[: len(P)]]
        found.append(np.exp(policy.score_groups([(policy.encoder(Prompt.of_text(prompt)), answers)])[0]))
    return found


def total_variations(found: list[np.ndarray], targets: list[np.ndarray]) -> np.ndarray:
    """Of each game's policy to its target; what a policy gives to no answer of its game counts as missed."""
    return np.array([0.5 * (np.abs(p - t).sum() + 1 - p.sum()) for p, t in zip(found, targets, strict=True)])


def _skewed(n: int) -> np.ndarray:
    weights = 0.7 ** np.arange(n)
    return weights / weights.sum()


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
