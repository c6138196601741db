"""The parts of the language-model experiment: grids derived from the recipe, longer answers, other judges."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import tiny_run
from comal.errors import ConfigError
from comal.experiments.language_model.parts import ETA_FACTORS, held_out_judges, plan_part
from comal.experiments.language_model.plan import Part
from comal.pipeline.run.resolved import method_names
from comal.plugins import JUDGES
from comal.recipes.load import load_recipe, validate
from comal.recipes.settings import Recipe


def specs(part: Part) -> dict[str, Any]:
    return {key: method_names(run.recipe)[method] for key, (run, method) in part.sources.items()}


def test_grids_are_factors_of_the_recipe() -> None:
    changed = load_recipe(
        "docstrings", ["algorithm.inner.eta=0.8", "algorithm.inner.tau=0.02", "algorithm.inner_steps=8"]
    )
    found = specs(plan_part("ablation", changed))
    assert [found[f"eta-x{f:g}"]["inner"]["eta"] for f in ETA_FACTORS] == [pytest.approx(0.8 * f) for f in ETA_FACTORS]
    assert found["tau-x2"]["inner"] == {"name": "inpo", "eta": 0.8, "tau": 0.04}
    assert found["inpo-tau-x2"] == {"name": "inpo", "eta": 0.8, "tau": 0.04}
    assert {key: spec["inner_steps"] for key, spec in found.items() if key.startswith("inner")} == {
        "inner-2": 2,
        "inner-4": 4,
        "inner-16": 16,
    }
    methods = specs(plan_part("methods", changed))
    assert methods["comal-egpo"]["inner_steps"] == 4, "a round of EGPO takes two steps"
    assert methods["mpo"]["period"] == 8


def test_independent_pairs_cost_what_the_others_cost(parts: Mapping[str, Part], recipe: Recipe) -> None:
    run, _ = parts["methods"].sources["iterative-dpo"]
    own, other = run.recipe, recipe
    assert own.sampling.samples == 2
    assert own.sampling.prompts == other.sampling.prompts * other.sampling.samples * (other.sampling.samples - 1) // 2
    answers = [
        r.training.prompts_per_batch * r.training.gradient_accumulation * r.sampling.samples for r in (own, other)
    ]
    steps = [r.sampling.prompts * r.sampling.samples / a for r, a in zip((own, other), answers, strict=True)]
    assert steps[0] == pytest.approx(steps[1]), "optimiser steps of a proximal step"


def test_sentences_are_longer_answers_of_the_task(parts: Mapping[str, Part], recipe: Recipe) -> None:
    run, _ = parts["sentences"].sources["comal"]
    assert run.recipe.supervised is not None
    assert "words=16" in run.recipe.supervised.data.source
    rates = [(r.training.learning_rate, r.training.final_learning_rate) for r in (run.recipe, recipe)]
    assert rates[0] == tuple(None if rate is None else rate / 2 for rate in rates[1])
    assert run.recipe.policy.max_new_tokens > 2 * recipe.policy.max_new_tokens
    scratch = run.recipe.policy.from_scratch
    assert scratch is not None
    assert run.recipe.policy.max_prompt_tokens + run.recipe.policy.max_new_tokens <= scratch.max_positions


def test_held_out_judges_are_others_and_the_transitive_one_is_a_member(recipe: Recipe) -> None:
    trained = JUDGES.build(recipe.judge, "judge").fingerprint()
    judges = held_out_judges(recipe.judge)
    prints = {JUDGES.build(spec, name).fingerprint() for name, spec in judges.items()}
    assert len(prints) == len(judges)
    assert trained not in prints
    assert plan_part("transitive", recipe).runs[0].recipe.judge == judges["one member"]


def test_a_judge_without_members_has_no_held_out_ones(tmp_path: Path) -> None:
    tiny = validate(tiny_run.values(tmp_path))
    for name in ("held-out", "transitive"):
        with pytest.raises(ConfigError, match="judge: other judges are made from a committee's reviewers"):
            plan_part(name, tiny)
    with pytest.raises(ConfigError, match="task:docstrings"):
        plan_part("sentences", tiny)
