"""What a finished run hands over is the policy that was measured, or nothing."""

from __future__ import annotations

import json

import pytest

import tiny_run
from comal.pipeline.disk.files import remove_folder
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.run.deliver import deliver
from comal.pipeline.run.resolved import resolve
from comal.pipeline.run.run import Run
from comal.recipes.load import validate
from comal.recipes.settings import Recipe

FOUR_BITS = {"load_in_4bit": True}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Recipe]:
    folder = tmp_path_factory.mktemp("made")
    values = tiny_run.values(folder / "data", steps=1)
    values["policy"]["lora"] = {"r": 2, "alpha": 4.0}
    with Run(folder / "run", validate(values)) as run:
        run.execute()
        return RunFolder(folder / "run"), run.recipe


@pytest.fixture
def finished(made: tuple[RunFolder, Recipe]) -> tuple[RunFolder, Recipe]:
    remove_folder(made[0].model)
    return made


def test_an_adapter_is_merged_into_the_weights_that_it_was_trained_on(finished: tuple[RunFolder, Recipe]) -> None:
    run, recipe = finished
    deliver(run.path, resolve(recipe))
    assert (run.model / "model.safetensors").is_file()
    assert (run.adapter / "adapter_config.json").is_file()


def test_an_adapter_on_few_bits_is_not_merged_into_the_full_weights(
    finished: tuple[RunFolder, Recipe], caplog: pytest.LogCaptureFixture
) -> None:
    run, recipe = finished
    policy = recipe.policy.model_copy(update={"quantization_config": FOUR_BITS})
    deliver(run.path, resolve(recipe.model_copy(update={"policy": policy})))
    assert not run.model.exists()
    assert "in the full weights it would be another policy" in caplog.text
    assert (run.adapter / "adapter_config.json").is_file()


def test_an_adapter_of_a_model_that_came_in_few_bits_is_not_merged(
    finished: tuple[RunFolder, Recipe], caplog: pytest.LogCaptureFixture
) -> None:
    run, recipe = finished
    config = run.start(recipe) / "config.json"
    before = config.read_text("utf-8")
    config.write_text(json.dumps(json.loads(before) | {"quantization_config": {"quant_method": "awq"}}), "utf-8")
    try:
        deliver(run.path, resolve(recipe))
    finally:
        config.write_text(before, "utf-8")
    assert not run.model.exists()
    assert "are quantised (awq), and no adapter can be merged into them" in caplog.text
