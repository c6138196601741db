"""Every command that samples and scores looks first whether the two are of one policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

import tiny_models
from comal.policies.transformers import TransformersPolicy
from command_line import comal, refused

JUDGE = {"name": "rules", "rules": [{"measure": "words", "prefer": "less"}]}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beside it the model `base` that it starts from, and its prompts."""
    folder = tmp_path_factory.mktemp("door")
    tiny_models.save_causal_lm(folder / "base", initializer_range=0.2)
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"Return size {i}."}) + "\n" for i in range(12)), "utf-8")
    values = {
        "name": "t", "policy": {"model": str(folder / "base"), "max_new_tokens": 8},
        "prompts": {"train": {"source": str(prompts)}, "held_out": 4}, "judge": JUDGE,
        "algorithm": {"name": "inpo", "eta": 2.0, "tau": 0.2}, "steps": 2, "threads": 1,
        "sampling": {"prompts": 4, "samples": 2}, "training": {"learning_rate": 1e-3},
        "evaluation": {"validation_prompts": 2, "test_prompts": 2, "samples": 2, "best_of": [2], "pool_size": 1},
    }  # fmt: skip
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(values), "utf-8")
    return path


def typed(command: str, recipe: Path) -> list[object]:
    base = recipe.parent / "base"
    if command == "eval":
        given = ["--prompts", recipe.parent / "prompts.jsonl", "--max-new-tokens", 8, "--judge", json.dumps(JUDGE)]
        return [command, base, f"again={base}", *given, "--no-length-control"]
    return [command, recipe] if command == "run" else [command, base, "--recipe", recipe, "--set", "steps=1"]


@pytest.mark.parametrize("command", ["run", "eval", "certify"])
def test_a_penalty_in_the_sampler_stops_it(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    def penalty(*_: Any) -> list[Any]:
        return [transformers.RepetitionPenaltyLogitsProcessor(3.0)]

    monkeypatch.setattr(TransformersPolicy, "logits_processors", penalty)
    refused(
        comal(*typed(command, recipe), "--output-dir", tmp_path / "out"),
        "policy: the sampler does not draw from the policy that is scored",
        "such as a penalty",
    )
    assert not [*tmp_path.rglob("answers*.parquet"), *tmp_path.rglob("samples.parquet")], "nothing was drawn"


def test_what_it_found_is_kept(recipe: Path, tmp_path: Path) -> None:
    outcome = comal(*typed("eval", recipe), "--output-dir", tmp_path / "out")
    assert outcome.exit_code == 0, outcome.stderr
    found = json.loads((tmp_path / "out" / "door.json").read_text("utf-8"))
    assert set(found) == {"base", "again"}
    assert all("sampler and scorer agree to" in entry["line"] for entry in found.values())
