"""Every recipe that README and docs show, and those that ship with an adapter, move their policy.

Their models are replaced by tiny ones of the same kind. The rule behind `plan`'s warning is held on both sides.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import shown_recipe
import tiny_chat_models
from comal.pipeline.disk.progress import journal_entries
from comal.pipeline.run.run import Run
from comal.pipeline.run.standstill import STILL, standstill
from comal.pipeline.training.reach import LEAST_REACH, adapter_reach, optimizer_steps, too_short
from comal.recipes.load import load_recipe, recipe_names, recipe_text, validate
from command_line import comal

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NEEDED = {"policy", "prompts", "judge", "algorithm", "steps"}

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


def shown() -> dict[str, dict[str, Any]]:
    """Whole recipes by where they are: parts of one are shown with what they are a part of."""
    found = {}
    for page in PAGES:
        for number, block in enumerate(re.findall(r"```yaml[^\n]*\n(.*?)```", page.read_text("utf-8"), re.DOTALL)):
            values = yaml.safe_load(block)
            if isinstance(values, dict) and values.keys() >= NEEDED:
                found[f"{page.name}:{number}"] = values
    for name in recipe_names():
        values = yaml.safe_load(recipe_text(name))
        if "lora" in values["policy"]:
            found[name] = values
    return found


SHOWN = shown()


def test_there_are_some() -> None:
    assert {"README.md", "recipes.md"} <= {place.partition(":")[0] for place in SHOWN}
    assert "small-chat" in SHOWN


def run(folder: Path, values: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines of the journal of a run on tiny models."""
    recipe = validate(shown_recipe.on_tiny_models(folder / "models", values, "qwen2"))
    with Run(folder / "run", recipe) as started:
        started.execute()
    return journal_entries(folder / "run" / "comal" / "journal.jsonl")


def prox(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [entry["metrics"] for entry in entries if "kl_moved" in entry["metrics"]]


@pytest.mark.parametrize("place", sorted(SHOWN))
def test_a_recipe_that_is_shown_moves_its_policy(tmp_path: Path, place: str) -> None:
    recipe = validate(SHOWN[place])
    assert too_short(recipe) is None
    entries = run(tmp_path, SHOWN[place])
    steps = prox(entries)
    assert len(steps) == shown_recipe.STEPS
    noise = max(m["start_gap"] for m in steps) ** 2 / 2
    moved = [m["kl_moved"] > 2 * noise for m in steps]
    # In bfloat16 every step rounds, and a smaller second one may lie within that.
    assert any(moved) if recipe.training.arguments.get("bf16") else all(moved), "steps move beyond rounding"
    assert standstill(entries, recipe.steps) is None


def test_the_rate_of_a_whole_model_is_noticed_before_and_during_the_run(tmp_path: Path) -> None:
    """What README showed: 5e-7 with LoRA. Its steps stay within rounding, bfloat16's, and both warnings say so."""
    values = SHOWN["README.md:0"] | {"training": SHOWN["README.md:0"]["training"] | {"learning_rate": 5e-7}}
    recipe = validate(values)
    said = too_short(recipe)
    assert said is not None
    assert "5e-07 over 1,044 optimiser steps" in said
    found = standstill(run(tmp_path, values), recipe.steps)
    assert found is not None
    assert "within rounding" in found
    assert "Raise training.learning_rate, then training.epochs or steps" in found


@pytest.mark.parametrize(("share", "moves"), [(0.2, False), (3.0, True)], ids=["below", "above"])
def test_the_reach_tells_an_adapter_that_moves_from_one_that_does_not(
    tmp_path: Path, share: float, moves: bool
) -> None:
    """Without rounding; the KL grows with the square of the reach, which is what STILL is held against."""
    values = SHOWN["README.md:0"]
    training = {k: v for k, v in values["training"].items() if k != "arguments"}
    tiny = shown_recipe.on_tiny_models(tmp_path / "models", values | {"training": training}, "qwen2")
    reach = adapter_reach(validate(tiny))
    assert reach is not None
    rate = training["learning_rate"] * share * LEAST_REACH / reach
    recipe = validate(tiny | {"training": training | {"learning_rate": rate}})
    assert adapter_reach(recipe) == pytest.approx(share * LEAST_REACH)
    assert (too_short(recipe) is None) == moves
    with Run(tmp_path / "run", recipe) as started:
        started.execute()
    entries = journal_entries(tmp_path / "run" / "comal" / "journal.jsonl")
    assert [m["optimizer_steps"] for m in prox(entries)] == [optimizer_steps(recipe)] * recipe.steps
    assert (sum(math.sqrt(m["kl_moved"]) for m in prox(entries)) ** 2 > STILL) == moves
    assert (standstill(entries, recipe.steps) is None) == moves


def test_the_reach_is_the_rank_free_bound(tmp_path: Path) -> None:
    """r rows of B at n · rate, on inputs of size 1 by PEFT's own A, against .46 · α · n · rate."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    n, rate, alpha = 50, 1e-4, 32.0
    for r in (4, 64):
        model = AutoModelForCausalLM.from_pretrained(tiny_chat_models.save_chat_model(tmp_path / str(r), "qwen2"))
        with torch.random.fork_rng():
            torch.manual_seed(0)
            peft_model = peft.get_peft_model(model, peft.LoraConfig(r=r, lora_alpha=alpha, target_modules="all-linear"))
            layer = next(m for name, m in peft_model.named_modules() if name.endswith("q_proj"))
            x = torch.randn(4096, layer.in_features)
        assert (layer.lora_B["default"].weight == 0).all()
        a = x @ layer.lora_A["default"].weight.detach().T
        most = (alpha / r) * (n * rate) * a.abs().sum(dim=1)
        assert float(most.mean()) == pytest.approx(math.sqrt(2 / (3 * math.pi)) * alpha * n * rate, rel=0.15)


def entry(kl: float, slope: float | None, gap: float = 1e-6) -> dict[str, Any]:
    metrics = {"kl_moved": kl, "start_gap": gap} | ({} if slope is None else {"slope": slope})
    return {"instruction": {"do": "prox"}, "metrics": metrics}


@pytest.mark.parametrize(
    ("entries", "steps", "said"),
    [
        ([], 10, None),
        ([entry(1e-9, 0.0)], 10, None),  # one step says nothing of its noise
        ([entry(1e-2, 0.3), entry(1e-2, 0.2)], 10, None),
        ([entry(1e-4, 0.01), entry(1e-4, 0.01)], 10, None),  # 100 · 1e-4 = 0.01 at the end
        ([entry(1e-5, 0.01), entry(1e-5, 0.01)], 10, "Raise training.learning_rate"),
        ([entry(1e-5, 0.9), entry(1e-5, 0.95)], 10, "They ask for little: raise eta"),
        ([entry(1e-5, None), entry(1e-5, None)], 10, "Look at the judge"),
        ([entry(1e-3, 0.0, 0.05), entry(1e-3, 0.0, 0.01)], 100, "within rounding (0.001)"),
        ([{"instruction": {"do": "play"}, "metrics": {"optimizer_steps": 3}}] * 5, 10, None),
    ],
)
def test_what_is_said_of_a_journal(entries: list[dict[str, Any]], steps: int, said: str | None) -> None:
    found = standstill(entries, steps)
    assert found is None if said is None else said in str(found)


def test_plan_shows_optimiser_steps_and_warns_of_an_adapter_that_cannot_move() -> None:
    fine = comal("plan", "small-chat")
    assert "optimiser steps a proximal step" in fine.stdout
    assert "warning" not in fine.stderr
    total = json.loads(comal("plan", "small-chat", "--json").stdout)["total"]
    assert total["optimizer_steps"] == optimizer_steps(load_recipe("small-chat")) == 8
    assert total["warnings"] == []
    short = comal("plan", "small-chat", "--set", "training.learning_rate=5e-7")
    assert short.exit_code == 0
    assert "warning: training.learning_rate: 5e-07 over 96 optimiser steps moves an adapter of alpha 32" in short.stderr
    whole = comal("plan", "docstrings", "--json")
    assert json.loads(whole.stdout)["total"]["warnings"] == []
