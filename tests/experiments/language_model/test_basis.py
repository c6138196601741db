"""What the experiment's methods are derived from: COMAL's recipe, or a quick one of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import tiny_lm
import tiny_run
from comal.errors import ConfigError
from comal.experiments.language_model.basis import Basis, quick_recipe
from comal.experiments.language_model.parts import PARTS, plan_part
from comal.recipes.load import load_recipe, validate


def test_a_recipe_of_another_algorithm_is_refused(tmp_path: Path) -> None:
    for algorithm in (tiny_run.INPO, {"name": "comal", "inner": tiny_run.INPO}):
        values = tiny_run.values(tmp_path, algorithm)
        with pytest.raises(ConfigError, match="COMAL with a number of inner steps"):
            plan_part("methods", validate(values))


def test_quick_is_a_shorter_recipe_that_still_moves_its_reference(tmp_path: Path) -> None:
    recipe = load_recipe("docstrings")
    for whole in (recipe, validate(tiny_lm.values(tmp_path))):
        quick = quick_recipe(whole)
        assert quick.steps <= whole.steps
        assert quick.steps >= 2 * Basis.of(quick).inner_steps
        for name in PARTS:
            if not (name == "sentences" and whole is not recipe):
                plan_part(name, quick)
