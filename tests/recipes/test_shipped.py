"""Recipes that ship: each passes `plan` with no network, and its steps run on a tiny model of its architecture.

Of a recipe on people's models the test replaces what has to be downloaded (model, judge, prompts), the sizes (prompts,
tokens, evaluation) and the sharding over GPUs; all else, the training settings above all, stays as shipped.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import transformers
import yaml

import scripted_server
import tiny_chat_models
import tiny_models
from comal.pipeline.run.run import Run
from comal.recipes.load import load_recipe, recipe_names, recipe_text, validate
from command_line import comal

CHAT: dict[str, tiny_models.Architecture] = {
    "qwen2-1.5b": "qwen2",
    "llama3-8b": "llama",
    "qwen2.5-7b": "qwen2",
    "small-chat": "qwen2",
    "one-gpu-7b": "qwen2",
}
OURS = {"small-chat", "one-gpu-7b"}
PAPER = sorted(set(CHAT) - OURS)
STEPS, PROMPTS = 2, 8

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


def test_every_recipe_on_a_chat_model_is_tried_here() -> None:
    on_models = {name for name in recipe_names() if load_recipe(name).policy.model is not None}
    assert on_models == set(CHAT) | {"chat"}  # in test_chat.py: its model comes as a GGUF file


@pytest.mark.parametrize("name", sorted(CHAT))
def test_plan_of_a_shipped_recipe_asks_nobody(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("plan asked a hub")

    monkeypatch.setattr("datasets.load_dataset", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    outcome = comal("plan", name, "--json")
    assert outcome.exit_code == 0, outcome.output
    total = json.loads(outcome.stdout)["total"]
    recipe = load_recipe(name)
    K, orders = recipe.sampling.samples, 1 if recipe.judge["name"] == "reward_model" else 2
    questions = recipe.steps * recipe.sampling.prompts * math.comb(K, 2) * orders
    assert total["judge_calls"] == questions
    assert total["prompts_available"] is None
    assert len(total["unknown"]) >= 2
    head = recipe_text(name).partition(f"\nname: {name}\n")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    for part in (f"comal plan {name}", f"comal run {name}", "Estimated", "GPU", "Memory"):
        assert part in head
    # The head's figures are those of plan: a recipe that is changed must not keep its old bill.
    said = {"qwen2-1.5b": ("199,600", "8.4 million"), "small-chat": ("9,216", "13,440")}
    said["one-gpu-7b"] = said["small-chat"]
    said |= dict.fromkeys(("llama3-8b", "qwen2.5-7b"), ("99,800", "1.8 million"))
    of_step, of_all = said[name]
    assert of_step in head
    assert of_all in head
    if name in OURS:
        assert f"{questions:,}" == of_step
        assert f"{total['evaluation_comparisons'] * orders:,}" == of_all
    else:
        assert f"{questions // recipe.steps:,}" == of_step
        assert f"{questions / 1e6:.1f} million" == of_all


@pytest.mark.parametrize("name", PAPER)
def test_recipes_of_the_paper_have_its_settings(name: str) -> None:
    """DESIGN facts: 1/eta = 0.002, eta·tau = 1/3, 5 samples at 0.8 / 0.95, best against second best, 3 epochs, 5e-7."""
    recipe = load_recipe(name)
    inner = recipe.algorithm["inner"]
    assert 1 / inner["eta"] == pytest.approx(0.002)
    assert inner["eta"] * inner["tau"] == pytest.approx(1 / 3, abs=1e-8)
    assert recipe.algorithm["inner_steps"] == (12 if name == "qwen2-1.5b" else 6)
    sampling, training = recipe.sampling, recipe.training
    assert (sampling.samples, sampling.temperature, sampling.top_p) == (5, 0.8, 0.95)
    assert (training.loss, training.pairing) == ({"name": "pair", "target": "hard"}, "best-second")
    assert (training.epochs, training.learning_rate, training.warmup) == (3, 5e-7, 0.1)
    assert training.prompts_per_batch * training.gradient_accumulation == 32, "on any number of GPUs"


@pytest.mark.parametrize("name", PAPER)
def test_the_memory_of_the_papers_models_is_plans_own(name: str, tmp_path: Path) -> None:
    """By the published configurations of the recipes' models, without their weights."""
    _CONFIGS[name].save_pretrained(tmp_path / "model")
    outcome = comal("plan", name, "--json", "--processes", "8", "--set", f"policy.model={tmp_path / 'model'}")
    assert outcome.exit_code == 0, outcome.output
    total = json.loads(outcome.stdout)["total"]
    gib = {part: f"{count / 2**30:.1f}" for part, count in total["memory"].items()}
    head = " ".join(recipe_text(name).replace("#", " ").split())
    assert f"about {gib['peak']} GiB while answers are drawn ({gib['weights']} of the policy" in head
    assert f"{gib['engine']} of the engine with room for {load_recipe(name).sampling.batch_size} answers" in head
    assert f"and {gib['training']} while it trains" in head


_CONFIGS = {
    "qwen2-1.5b": transformers.Qwen2Config(
        vocab_size=151936, hidden_size=1536, intermediate_size=8960, num_hidden_layers=28, num_attention_heads=12,
        num_key_value_heads=2, tie_word_embeddings=True,
    ),
    "llama3-8b": transformers.LlamaConfig(
        vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=8, tie_word_embeddings=False,
    ),
    "qwen2.5-7b": transformers.Qwen2Config(
        vocab_size=152064, hidden_size=3584, intermediate_size=18944, num_hidden_layers=28, num_attention_heads=28,
        num_key_value_heads=4, tie_word_embeddings=False,
    ),
}  # fmt: skip


def test_the_memory_of_a_7b_model_on_one_gpu_is_plans_own(tmp_path: Path) -> None:
    """By the published configuration of the recipe's model, without its weights."""
    config = transformers.Qwen2Config(
        vocab_size=152064, hidden_size=3584, intermediate_size=18944, num_hidden_layers=28, num_attention_heads=28,
        num_key_value_heads=4, tie_word_embeddings=False,
    )  # fmt: skip
    config.save_pretrained(tmp_path / "model")
    outcome = comal("plan", "one-gpu-7b", "--json", "--set", f"policy.model={tmp_path / 'model'}")
    assert outcome.exit_code == 0, outcome.output
    gib = {part: count / 2**30 for part, count in json.loads(outcome.stdout)["total"]["memory"].items()}
    head = " ".join(recipe_text("one-gpu-7b").replace("#", " ").split())
    page = " ".join((Path(__file__).parents[2] / "docs" / "one-gpu.md").read_text("utf-8").split())
    assert f"about {gib['peak']:.1f} GiB: {gib['weights'] + gib['scorer']:.1f} of weights" in head
    assert f"{gib['gradients'] + gib['optimizer']:.1f} of the adapters' gradients" in head
    assert f"{gib['activations']:.1f} of activations" in head
    assert f"{gib['peak']:.1f} GiB" in page
    assert gib["peak"] < 0.8 * 24


def test_the_page_on_recipes_names_all_that_ship() -> None:
    page = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text("utf-8")
    table = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    shown = [name for cell in table for name in re.findall(r"`([^`]+)`", cell)]
    assert set(recipe_names()) <= set(shown)
    assert not re.search(r"\b(two|three|four|five|six|seven|eight) ship", page, re.IGNORECASE)


@contextlib.contextmanager
def shrunk(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    """The shipped values with what the module's docstring names replaced."""
    values = yaml.safe_load(recipe_text(name))
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"Why is {i} odd?"}) + "\n" for i in range(16)), "utf-8")
    values["policy"] |= {
        "model": tiny_chat_models.save_chat_model(folder / "model", CHAT[name]),
        "max_prompt_tokens": 64, "max_new_tokens": 6,
    }  # fmt: skip
    values["prompts"] = {"train": {"source": str(prompts)}, "held_out": 4}
    values |= {"steps": STEPS, "threads": 1, "verdict_cache": "run"}
    values["sampling"] |= {"prompts": PROMPTS, "engine": "transformers"}  # another engine has tests of its own
    values["training"]["arguments"] = {k: v for k, v in values["training"]["arguments"].items() if k != "fsdp"}
    values["evaluation"] |= {"validation_prompts": 2, "test_prompts": 2, "best_of": [2], "pool_size": 0}
    match values["judge"]:
        case {"name": "pairwise_lm"} as judge:
            # A random judge says anything but a label: any share of it will do for a verdict here.
            judge |= {
                "model": tiny_chat_models.save_chat_model(folder / "judge", "llama", seed=1), "min_label_mass": 0.0,
            }  # fmt: skip
            judge["max_length"] = 1024
            yield values
        case {"name": "reward_model"} as judge:
            judge |= {"models": [tiny_models.save_reward_model(folder / f"rm{i}", seed=i) for i in range(2)]}
            yield values
        case {"name": "openai"} as judge:

            def script(number: int, body: dict[str, Any]) -> dict[str, Any]:
                p = 0.05 + 0.9 * (zlib.crc32(body["messages"][-1]["content"].encode()) / 2**32)
                return scripted_server.completion("A" if p > 0.5 else "B", {"A": p, "B": 1 - p})

            with scripted_server.serving(script) as server:
                judge |= {"base_url": server.url}
                yield values


@pytest.mark.parametrize("name", sorted(CHAT))
def test_the_steps_of_a_shipped_recipe_run_on_its_architecture(tmp_path: Path, name: str) -> None:
    with shrunk(tmp_path, name) as values, Run(tmp_path / "run", validate(values)) as started:
        result = started.execute()
    assert math.isfinite(result.policies["comal"].kl_start.mean)
    assert json.loads((tmp_path / "run" / "model" / "config.json").read_text())["model_type"] == CHAT[name]
    assert (tmp_path / "run" / "adapter" / "adapter_config.json").is_file() == ("lora" in values["policy"])
    lines = (tmp_path / "run" / "comal" / "journal.jsonl").read_text().splitlines()
    steps = [entry["metrics"] for entry in map(json.loads, lines) if "loss" in entry["metrics"]]
    assert len(steps) == STEPS
    training = values["training"]
    trained_on = PROMPTS - round(training["monitor"] * PROMPTS)
    batches = math.ceil(trained_on / training["prompts_per_batch"])
    updates = math.ceil(batches / training["gradient_accumulation"])
    for metrics in steps:
        assert metrics["optimizer_steps"] == updates * training.get("epochs", 1)
        assert metrics["dropped_prompts"] == 0
    if name in PAPER:
        # Before anything has moved h = 0, so that the published loss is (1 / (2 · 0.002))² = 250²; the warm-up begins
        # at a rate of 0 and ends at 5e-7, which moves a random model of this size by nothing to speak of.
        assert steps[0]["loss"] == pytest.approx(250**2, rel=0.01)
