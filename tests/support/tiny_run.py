"""Whole runs small enough for tests: the recipe of `one_token` on a smaller model, for a few proximal steps."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import one_token
from waiting import LIMIT

INPO = {"name": "inpo", "eta": 2.0, "tau": 0.2}
COMAL = {"name": "comal", "inner": INPO, "inner_steps": 2, "update": "copy"}


def values(folder: Path, algorithm: Any = COMAL, **changes: Any) -> dict[str, Any]:
    """Plain values of a recipe whose data files are written to `folder`; a run of it takes a second."""
    recipe = one_token.recipe(folder, algorithm, answers=64)
    recipe["policy"]["from_scratch"] |= {"hidden_size": 32, "intermediate_size": 64, "layers": 1, "heads": 1}
    recipe["supervised"] |= {"epochs": 2, "learning_rate": 1e-2, "batch_size": 32}
    recipe["steps"] = 4
    recipe["sampling"] = {"prompts": 8, "samples": 4, "batch_size": 16}
    recipe["training"] |= {"epochs": 1, "prompts_per_batch": 4, "log_prob_batch": 16, "monitor": 0.25}
    recipe["evaluation"] = {
        "every": 2, "validation_prompts": 2, "test_prompts": 2, "samples": 2, "best_of": [2], "pool_size": 1,
    }  # fmt: skip
    return recipe | changes


def write(folder: Path, recipe: Mapping[str, Any], name: str = "recipe.yaml") -> Path:
    """The recipe as a YAML file in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(yaml.safe_dump(dict(recipe), sort_keys=False), encoding="utf-8")
    return path


def command(recipe: Path, folder: Path, *options: str) -> list[str]:
    """`comal run` as a person would type it."""
    return [sys.executable, "-m", "comal", "run", str(recipe), "--output-dir", str(folder), *options]


def environment() -> dict[str, str]:
    """One thread, and no hub."""
    return os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def call(arguments: list[str], timeout: float = LIMIT, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        arguments, capture_output=True, text=True, timeout=timeout, env=environment(), check=False, **options
    )
