"""A recipe's plug-ins: each built once, of its own type, from nothing but the recipe; mistakes name their place."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import pytest

import tiny_run
from comal.algorithms.base import Algorithm
from comal.algorithms.comal import COMAL
from comal.algorithms.inpo import INPO
from comal.errors import ConfigError
from comal.judges.base import Judge
from comal.losses.base import Loss
from comal.pipeline.run.check import check
from comal.pipeline.run.resolved import ResolvedRecipe, method_names, resolve
from comal.recipes.load import load_recipe, recipe_names, validate
from comal.recipes.settings import Recipe

GONE = {"name": "a_module_that_has_gone:Plugin"}


def test_no_plug_in_is_of_any_type() -> None:
    hints = typing.get_type_hints(ResolvedRecipe)
    assert hints["judge"] is hints["evaluation_judge"] is Judge
    assert hints["loss"] is Loss
    assert typing.get_args(hints["methods"]) == (str, Algorithm)
    assert Any not in hints.values()


@pytest.mark.parametrize("name", recipe_names())
def test_resolving_the_canonical_recipe_changes_nothing(name: str) -> None:
    """What is written to run.json is read as the same plug-ins, and written as the same bytes."""
    first = resolve(load_recipe(name))
    again = resolve(Recipe.model_validate(first.canonical()))
    assert again.canonical() == first.canonical()
    assert (again.methods, again.judge, again.evaluation_judge, again.loss) == (
        first.methods,
        first.judge,
        first.evaluation_judge,
        first.loss,
    )


def test_the_main_method_comes_first_and_one_judge_does_both(tmp_path: Path) -> None:
    recipe = validate(tiny_run.values(tmp_path, baselines={"alone": tiny_run.INPO, "a": "comal"}))
    found = resolve(recipe)
    assert list(found.methods) == list(method_names(recipe)) == ["comal", "alone", "a"]
    assert isinstance(found.algorithm, COMAL)
    assert found.methods["alone"] == INPO(2.0, 0.2)
    assert found.evaluation_judge is found.judge
    assert found.classify is None
    assert found.canonical()["evaluation"]["judge"] is None


def test_another_judge_of_evaluations_and_classes(tmp_path: Path) -> None:
    values = tiny_run.values(tmp_path)
    values["evaluation"] |= {
        "judge": {"name": "python", "function": "judge_functions:longer"},
        "classes": "comal.judges.docstring_style:classify",
    }
    found = resolve(validate(values))
    assert found.evaluation_judge != found.judge
    assert found.canonical()["evaluation"]["judge"]["function"] == "judge_functions:longer"
    assert found.classify is not None
    assert found.classify("Return the sum of two numbers.") == "command"


@pytest.mark.parametrize(
    ("place", "changes"),
    [
        ("algorithm", {"algorithm": GONE}),
        ("baselines.b", {"baselines": {"b": GONE}}),
        ("judge", {"judge": GONE}),
        ("training.loss", {"training": {"loss": GONE}}),
        ("evaluation.judge", {"evaluation": {"judge": GONE}}),
        ("evaluation.classes", {"evaluation": {"classes": "a_module_that_has_gone:classify"}}),
    ],
)
def test_a_plug_in_that_has_gone_is_a_mistake_at_its_place(tmp_path: Path, place: str, changes: dict[str, Any]) -> None:
    values = tiny_run.values(tmp_path)
    for section, change in changes.items():
        values[section] = values[section] | change if section in ("training", "evaluation") else change
    recipe = validate(values)
    with pytest.raises(ConfigError, match="cannot import `a_module_that_has_gone`") as caught:
        check(resolve(recipe))
    assert caught.value.place in (place, f"{place}.name")
