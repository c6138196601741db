"""A run's folder that another comal made, or that is damaged: one message of every command, and exit code 2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tiny_run
from comal.recipes.load import load_recipe
from command_line import comal, refused

DAMAGED = {
    "no JSON": "{",
    "no object": "[]",
    "no recipe": '{"format": 1, "comal": "0.1"}',
    "no format": '{"comal": "0.1", "recipe": {}}',
    "a newer format": '{"format": 2, "comal": "9.9", "recipe": {}}',
    "an older format": '{"format": 0, "recipe": {}}',
    "a newer recipe": None,
    "an older recipe": '{"format": 1, "comal": "0.0.1", "recipe": {"algorithm": "comal", "iterations": 3}}',
}
COMMANDS = {
    "status": ["status", "RUN"],
    "status --json": ["status", "RUN", "--json"],
    "certify": ["certify", "RUN"],
    "audit": ["audit", "RUN"],
    "eval": ["eval", "RUN", "--judge", "{name: python, function: 'judge_functions:longer'}"],
    "eval RUN/start": [
        "eval",
        "RUN/start",
        "RUN:comal",
        "--judge",
        "{name: python, function: 'judge_functions:longer'}",
    ],
    "report": ["report", "RUN"],
    "reports": ["report", "RUN", "OTHER"],
    "run": ["run", "RECIPE", "--output-dir", "RUN"],
    "judge of a run": ["audit", "OUTPUTS", "--judge", "RUN"],
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    return tiny_run.write(folder, tiny_run.values(folder / "data"))


RECIPES = ["a newer recipe", "an older recipe"]
CASES = [
    (kind, command)
    for kind in DAMAGED
    for command in COMMANDS
    if command != "run" or kind not in RECIPES  # nothing is begun in it, so that its recipe may be corrected
]


@pytest.mark.parametrize(("kind", "command"), CASES)
def test_a_run_that_this_comal_cannot_read_is_one_message(
    tmp_path: Path, recipe: Path, kind: str, command: str
) -> None:
    run = folder_of(tmp_path / "mine", recipe, DAMAGED[kind])
    other = folder_of(tmp_path / "other", recipe, DAMAGED[kind])
    outputs = tmp_path / "outputs.json"
    rows = [{"instruction": "q", "output": f"{name} it", "generator": name} for name in ("a", "b")]
    outputs.write_text(json.dumps(rows))
    words = {"OTHER": str(other), "RECIPE": str(recipe), "OUTPUTS": str(outputs)}
    before = contents(run)
    outcome = comal(*(words.get(word, word.replace("RUN", str(run))) for word in COMMANDS[command]))
    refused(outcome, f"{run / 'run.json'}: this file of the run cannot be read")
    assert contents(run) == before


@pytest.mark.parametrize("kind", RECIPES)
def test_work_by_another_versions_recipe_is_not_continued(tmp_path: Path, recipe: Path, kind: str) -> None:
    run = folder_of(tmp_path / "mine", recipe, DAMAGED[kind])
    (run / "supervised").mkdir()
    before = contents(run)
    outcome = comal("run", recipe, "--output-dir", run)
    refused(outcome, "this folder's run has another configuration", "Use another --output-dir")
    assert contents(run) == before


def test_the_message_names_setting_and_version(tmp_path: Path, recipe: Path) -> None:
    run = folder_of(tmp_path / "mine", recipe, None)
    refused(comal("status", run), "a recipe of comal 9.9", "recipe.temper", "use the comal that wrote it")


def folder_of(path: Path, recipe: Path, marker: str | None) -> Path:
    """A folder with this run.json; None: that of a recipe with a setting that this comal does not know."""
    path.mkdir()
    if marker is None:
        plain: dict[str, Any] = load_recipe(str(recipe)).model_dump(mode="json") | {"temper": 3}
        marker = json.dumps({"format": 1, "comal": "9.9", "recipe": plain})
    (path / "run.json").write_text(marker)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """All files but locks."""
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}
