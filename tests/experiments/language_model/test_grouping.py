"""The runs of the language-model experiment: equal pairs, what parts share, and what is left out."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from comal.experiments.language_model.basis import Basis
from comal.experiments.language_model.parts import PARTS, plan_part
from comal.experiments.language_model.plan import Part
from comal.pipeline.cost.equal_calls import work_of
from comal.pipeline.run.check import check
from comal.pipeline.run.resolved import method_names, resolve
from comal.plugins import ALGORITHMS
from comal.recipes.load import load_recipe
from comal.recipes.settings import Recipe


@pytest.mark.parametrize("name", PARTS)
def test_every_method_has_the_same_pairs_and_takes_as_many_steps_as_they_pay_for(
    name: str, parts: Mapping[str, Part], recipe: Recipe
) -> None:
    budget = Basis.of(recipe).pairs
    for key, (run, method) in parts[name].sources.items():
        rule = ALGORITHMS.build(method_names(run.recipe)[method], key)
        assert run.work[key] == work_of(rule, run.recipe.sampling, run.recipe.steps)
        assert run.work[key].pairs <= budget < work_of(rule, run.recipe.sampling, run.recipe.steps + 1).pairs


@pytest.mark.parametrize("name", PARTS)
def test_every_run_passes_the_checks_of_a_run(name: str, parts: Mapping[str, Part]) -> None:
    for run in parts[name].runs:
        check(resolve(run.of_seed(5)))
        assert run.of_seed(5).seed == 5


def test_what_a_language_model_cannot_follow_is_left_out_with_its_reason(parts: Mapping[str, Part]) -> None:
    assert "needs the whole preference matrix" in parts["methods"].left_out["COMAL by Newton's method"]
    assert {"GRPO, published penalty", "SPPO"} == set(parts["losses"].left_out)
    assert all("known up to a constant" in reason for reason in parts["losses"].left_out.values())


def test_steps_too_long_for_their_regularisation_are_left_out() -> None:
    """η = 5 and τ = .15: twice either makes ητ 1.5."""
    part = plan_part("ablation", load_recipe("docstrings", ["algorithm.inner.eta=5", "algorithm.inner.tau=0.15"]))
    assert {"COMAL, η × 2", "COMAL, τ × 2", "INPO, τ × 2"} == set(part.left_out)
    assert "eta·tau" in part.left_out["COMAL, η × 2"]


def test_parts_share_the_run_of_the_core(parts: Mapping[str, Part]) -> None:
    for name in ("methods", "losses", "ablation", "exploiters", "held-out"):
        assert parts[name].sources["comal"][0] == parts["methods"].sources["comal"][0]
        assert parts[name].sources["comal"][0].folder(2) == "methods/core-seed2"
    folders = {name: {run.name for run in part.runs} - {"methods/core"} for name, part in parts.items()}
    assert not folders["losses"] & folders["ablation"]
    assert folders["held-out"] == folders["methods"]
