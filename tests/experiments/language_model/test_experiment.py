"""What is asked for, as it becomes an experiment, and as it is written down for others to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from comal.errors import ConfigError
from comal.experiments.language_model.experiment import (
    Experiment,
    command_options,
    default_folder,
    default_seeds,
    parse_seeds,
    planned,
)
from comal.experiments.language_model.parts import PARTS
from comal.recipes.load import load_recipe
from comal.recipes.settings import Recipe


@pytest.mark.parametrize("text", ["", "0,", "0,x", "1,1", "-1", "0.5", "0 1"])
def test_seeds_are_different_whole_numbers(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--seeds: need different whole numbers"):
        parse_seeds(text)


def test_seeds_keep_their_order() -> None:
    assert parse_seeds("3, 1,2") == (3, 1, 2)


@pytest.mark.parametrize("quick", [False, True])
def test_what_is_taken_by_default_is_not_written(quick: bool) -> None:
    given = command_options("docstrings", [], default_seeds(quick), quick, default_folder(quick))
    assert given == (("--quick",) if quick else ())


def test_what_differs_is_written_as_a_person_would_type_it(recipe: Recipe) -> None:
    options = command_options("mine.yaml", ["steps=3", "name=a b"], [0, 1, 2], True, Path("out"))
    assert options == (
        "--recipe", "mine.yaml", "--set", "steps=3", "--set", "name=a b", "--quick", "--seeds", "0,1,2",
        "--folder", "out",
    )  # fmt: skip
    command = Experiment(recipe, {}, (0,), Path("out"), options).command("losses")
    assert command.startswith("comal reproduce lm --part losses --recipe mine.yaml")
    assert "--set 'name=a b'" in command


def test_all_are_the_parts_that_the_recipe_allows() -> None:
    told: list[str] = []
    assert list(planned(["all"], load_recipe("docstrings"), told.append)) == list(PARTS)
    assert told == []
    assert list(planned(["losses", "methods", "losses"], load_recipe("docstrings"), told.append)) == [
        "losses", "methods",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="Did you mean `losses`"):
        planned(["loses"], load_recipe("docstrings"), told.append)


def test_a_method_of_several_parts_is_counted_once(recipe: Recipe, tmp_path: Path) -> None:
    """What is left of both together is less than of the two alone, by what they share."""
    alone = {
        name: Experiment(recipe, planned([name], recipe, print), (0, 1), tmp_path, ()).costs()[name].methods
        for name in ("methods", "ablation")
    }
    both = Experiment(recipe, planned(["methods", "ablation"], recipe, print), (0, 1), tmp_path, ()).costs()
    assert both["methods"].methods == alone["methods"]
    assert 0 < both["ablation"].methods < alone["ablation"]
