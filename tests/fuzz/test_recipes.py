"""Recipes as no manual describes them: `comal plan` shows what would be done, or says what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import tiny_models
import tiny_run
from comal.recipes.load import recipe_names, recipe_text
from command_line import comal
from fuzzing import TIERS, Tier, sound
from odd_values import damaged, mutated, texts
from possible_results import planned

ALGORITHMS = (
    tiny_run.INPO, tiny_run.COMAL, "comal", {"name": "mwu", "eta": 2.0}, {"name": "omwu"},
    {"name": "nash_md", "eta": 2.0, "tau": 0.2}, {"name": "mpo", "eta": 1.0, "tau": 0.1, "period": 2},
    {"name": "online_grpo", "tau": 0.1},
    {"name": "sppo", "eta": 2.0}, {"name": "iterative_dpo", "eta": 2.0}, {"name": "iterative_ipo", "eta": 2.0},
    {"name": "best_response", "eta": 2.0}, {"name": "comal_sampled"}, {"name": "egpo", "eta": 1.0, "tau": 0.2},
    {"name": "nash_mirror_prox", "eta": 1.0, "tau": 0.2}, {"name": "onpo", "eta": 1.0},
    {"name": "mnpo", "eta": 1.0, "tau": 0.2, "history": 2}, {"name": "nash_prox", "eta": 1.0, "tau": 0.2, "updates": 2},
    {"name": "rspo", "eta": 1.0, "reverse_tau": 0.2, "forward_tau": 0.1},
    {"name": "slhf", "eta": 1.0, "tau": 0.2, "follower_tau": 0.1},
)  # fmt: skip
JUDGES = (
    {"name": "python", "function": "judge_functions:longer"},
    {"name": "rules", "rules": [{"measure": "words", "weight": 2.0}, {"measure": "matches", "pattern": "a+"}]},
    {"name": "docstring_style", "ranking": ["command", "label", "description"]},
    {"name": "committee", "members": [{"name": "python", "function": "judge_functions:longer"}], "weights": [1.0]},
    {"name": "population", "members": [{"name": "python", "function": "judge_functions:longer"}], "choice": "ranked"},
    {"name": "population", "reader": {"name": "openai", "model": "m", "base_url": "http://localhost:1/v1"},
     "personas": ["You are a nurse."]},
    {"name": "people", "file": "absent.jsonl", "person": "ada", "marks": ["1", "2", "0"]},
    {"name": "openai", "model": "m", "base_url": "http://localhost:1/v1", "max_cost": 3.0, "input_price": 1.0,
     "output_price": 2.0, "labels": ["A", "B"], "extra_body": {"x": 1}},
    {"name": "pairwise_lm", "model": "owner/judge", "template": "helpful", "labels": ["A", "B"], "max_length": 100},
    {"name": "reward_model", "models": ["owner/rewards"], "weights": [1.0]},
    {"name": "psi", "judge": {"name": "python", "function": "judge_functions:longer"}, "exponent": 2.0},
    {"name": "matrix", "games": {"game 1": [[0.5, 0.2], [0.8, 0.5]]}, "answers": ["a", "b"]},
)  # fmt: skip
LOSSES = (
    "group", "grpo", "dpo", "ipo", "sppo", "rebel", "reinforce", {"name": "pair", "target": "win_rate"},
    {"name": "dro", "value": "partition"}, {"name": "dpo", "label_smoothing": 0.1},
)  # fmt: skip
ARGUMENTS = (
    {"bf16": True}, {"fsdp": "full_shard"}, {"deepspeed": {}}, {"lr_scheduler_kwargs": {"a": 1}}, {"optim": "sgd"},
    {"output_dir": "x"}, {"gradient_checkpointing": 1}, {"logging_steps": 0.5},
)  # fmt: skip
NEAR = (*ALGORITHMS, *JUDGES, *LOSSES, *ARGUMENTS, {"r": 4}, {"source": "owner/data"}, "owner/model")


def shipped(folder: Path) -> list[dict[str, Any]]:
    """Those that come with comal, on small files in place of embedded tasks and of the model of a package."""
    found = []
    for name in recipe_names():
        recipe = yaml.safe_load(recipe_text(name))
        if "task:" in recipe_text(name):
            small = tiny_run.values(folder)
            recipe |= {"prompts": small["prompts"], "supervised": small["supervised"]}
        if str(recipe["policy"].get("model")).startswith("package:"):
            recipe["policy"] = recipe["policy"] | {"model": str(folder / "model"), "temperature": 1.0}
        found.append(recipe)
    return found


def bases(folder: Path) -> st.SearchStrategy[dict[str, Any]]:
    tiny = tiny_run.values(folder, tiny_run.INPO)
    model = tiny_models.save_causal_lm(folder / "model")
    of_folder = tiny | {"policy": {"model": model, "max_new_tokens": 4, "lora": {"r": 2}, "system_prompt": "Be brief."}}

    def variant(algorithm: Any, judge: Any, loss: Any, pairing: str | None, base: dict[str, Any]) -> dict[str, Any]:
        training = base["training"] | {"loss": loss} | ({} if pairing is None else {"pairing": pairing})
        return base | {"algorithm": algorithm, "judge": judge, "training": training}

    varied = st.builds(
        variant, st.sampled_from(ALGORITHMS), st.sampled_from(JUDGES), st.sampled_from(LOSSES),
        st.sampled_from((None, "best-worst", "random")), st.sampled_from((tiny, of_folder)),
    )  # fmt: skip
    return st.one_of(varied, st.sampled_from((tiny, of_folder, *shipped(folder))))


def written(recipe: Any) -> bytes:
    """As YAML; where PyYAML cannot write it, as JSON, which YAML contains."""
    try:
        text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
    except yaml.YAMLError:
        text = json.dumps(recipe)
    return text.encode("utf-8", "surrogatepass")


SET = ("steps", "seed", "policy.from_scratch.layers", "training.loss", "training.loss.name", "judge.name", "algorithm",
       "algorithm.eta", "algorithm.inner.tau", "evaluation.best_of", "prompts.train.source", "policy", "baselines.x",
       "training.arguments.bf16", "", "a..b", "evaluation.judge", "verdict_cache", "name",
       "sampling.comparisons")  # fmt: skip


@TIERS
def test_a_recipe_is_planned_or_refused(tier: Tier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "fuzzed.yaml"
    overrides = st.lists(st.builds("{}={}".format, st.sampled_from(SET), texts), max_size=2)

    @tier.share(0.24)
    @given(damaged(mutated(bases(tmp_path), NEAR).map(written)), overrides, st.booleans())
    def holds(content: bytes, settings: list[str], as_json: bool) -> None:
        path.write_bytes(content)
        options = [part for setting in settings for part in ("--set", setting)]
        json_or_words = ("--json",) if as_json else ()
        sound(comal("plan", path, *json_or_words, *options), planned if as_json else None)

    holds()
