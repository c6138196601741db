"""The experiment on the shipped recipe, planned once for all tests of its plan."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from comal.experiments.language_model.parts import PARTS, plan_part
from comal.experiments.language_model.plan import Part
from comal.recipes.load import load_recipe
from comal.recipes.settings import Recipe


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return load_recipe("docstrings")


@pytest.fixture(scope="session")
def parts(recipe: Recipe) -> Mapping[str, Part]:
    return {name: plan_part(name, recipe) for name in PARTS}
