"""A recipe of people's models, on tiny ones of the same kind: what has to be downloaded and the sizes are replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tiny_chat_models
import tiny_models

STEPS = 2


def on_tiny_models(folder: Path, values: dict[str, Any], architecture: tiny_models.Architecture) -> dict[str, Any]:
    """The values with a tiny model, judge and prompts; the training settings above all stay as they are shown."""
    folder.mkdir(parents=True, exist_ok=True)
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"Why is {i} odd?"}) + "\n" for i in range(160)), "utf-8")
    model = tiny_chat_models.save_chat_model(folder / "model", architecture)
    judges = [tiny_models.save_reward_model(folder / f"judge{i}", seed=i) for i in range(2)]
    policy = {key: value for key, value in values["policy"].items() if key != "temperature"}  # of GGUF files
    return values | {
        "policy": policy | {"model": model, "max_prompt_tokens": 64, "max_new_tokens": 6},
        "prompts": {"train": {"source": str(prompts)}, "held_out": 8},
        "judge": {"name": "reward_model", "models": judges},
        "baselines": {},
        "processes": 1,
        "steps": STEPS,
        "threads": 1,
        "verdict_cache": "run",
        "sampling": values["sampling"] | {"prompts": min(values["sampling"]["prompts"], 64)},
        "evaluation": {"validation_prompts": 2, "test_prompts": 2, "best_of": [2], "pool_size": 0, "samples": 2},
    }
