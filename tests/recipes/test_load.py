"""Recipes: what is wrong with one is said at its dotted key, with the nearest known."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import tiny_run
from comal.errors import ConfigError
from comal.recipes.load import load_recipe, recipe_names, recipe_text, validate
from comal.recipes.settings import Recipe


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    return str(tiny_run.write(tmp_path, tiny_run.values(tmp_path / "data")))


def test_a_file_and_a_shipped_recipe_load(recipe: str) -> None:
    assert load_recipe(recipe).name == "one-token"
    assert "docstrings" in recipe_names()
    for name in recipe_names():
        assert isinstance(load_recipe(name), Recipe)
        assert recipe_text(name).startswith("# "), "the first line says what it does"


def test_settings_are_changed_by_dotted_keys(recipe: str) -> None:
    loaded = load_recipe(recipe, ["steps=7", "sampling.samples=3", "algorithm.inner.tau=1e-3", "training.loss=group"])
    assert (loaded.steps, loaded.sampling.samples, loaded.sampling.prompts) == (7, 3, 8)
    assert loaded.algorithm == {
        "name": "comal", "inner": {"name": "inpo", "eta": 2.0, "tau": 1e-3}, "inner_steps": 2, "update": "copy",
    }  # fmt: skip
    assert loaded.training.loss == "group"


def test_an_empty_mapping_leaves_none() -> None:
    assert set(load_recipe("docstrings").baselines) == {"fixed-reference", "self-play"}
    assert load_recipe("docstrings", ["baselines={}"]).baselines == {}
    assert set(load_recipe("docstrings", ["baselines.self-play.eta=2"]).baselines) == {"fixed-reference", "self-play"}


def test_another_plug_in_does_not_inherit_the_options_of_the_one_before(recipe: str) -> None:
    assert load_recipe(recipe, ["algorithm.name=mwu", "algorithm.eta=1"]).algorithm == {"name": "mwu", "eta": 1}
    assert load_recipe(recipe, ["training.loss=pair", "training.loss.target=hard"][:1]).training.loss == "pair"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["sampling.sample=3"], r"^sampling\.sample: there is no such setting\. Did you mean `samples`\?"),
        (["stepz=3"], r"^stepz: there is no such setting\. Did you mean `steps`\?"),
        (["prompts.train.sorce=x"], r"^prompts\.train\.sorce: .*Did you mean `source`\?"),
        (["policy.lora.rank=3"], r"^policy\.lora\.rank: there is no such setting"),
        (["steps=-1"], r"^steps: .*greater than or equal to 1, got -1"),
        (["steps=0"], r"^steps: "),
        (["steps=many"], r"^steps: .*integer.*got 'many'"),
        (["sampling.temperature=-0.5"], r"^sampling\.temperature: .*greater than 0, got -0\.5"),
        (["sampling.samples=1"], r"^sampling\.samples: .*greater than or equal to 2, got 1"),
        (["training.learning_rate=-1e-3"], r"^training\.learning_rate: .*greater than 0"),
        (["training.monitor=1"], r"^training\.monitor: .*less than 1, got 1"),
        (["training.pairing=worst-best"], r"^training\.pairing: .*'best-worst'"),
        (["training.adam_betas=[0.9, 1.5]"], r"^training\.adam_betas\.1: .*less than or equal to 1"),
        (["seed=-3"], r"^seed: "),
        (["seed=4294967296"], r"^seed: .*less than 4294967296"),  # NumPy's and the Trainer's limit
        (["steps=1000000000"], r"^steps: .*less than or equal to 100000"),
        (["policy.from_scratch.layers=100000"], r"^policy\.from_scratch\.layers: .*less than or equal to 1000"),
        (["sampling.prompts=1" + "0" * 400], r"^sampling\.prompts: .*less than or equal to 1000000000000, got 10+…$"),
        (["name=''"], r"^name: need a name that a folder below `runs` can have, got ''"),
        (["name=/"], r"^name: need a name"),
        (["name=../mine"], r"^name: need a name"),
        (['name="a\\0b"'], r"^name: need a name"),
        (['verdict_cache="\\0"'], r"^verdict_cache: need `run`, `shared` or the path of a file"),
        (["policy.model=gpt2"], r"^policy: give either `model` .* or `from_scratch`, not both"),
        (["policy.from_scratch.heads=3"], r"hidden_size 32 is not a multiple of heads 3"),
        (["prompts=3"], r"^prompts: "),
        (["supervised=null"], r"needs a `supervised` stage"),
    ],
)
def test_a_wrong_setting_is_one_message_at_its_key(recipe: str, settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_recipe(recipe, settings)
    assert "pydantic" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["name", "policy", "prompts", "judge", "algorithm", "steps"])
def test_what_is_needed_is_named(tmp_path: Path, key: str) -> None:
    values = tiny_run.values(tmp_path)
    del values[key]
    with pytest.raises(ConfigError, match=f"^{key}: this setting is needed"):
        validate(values)


def test_recipes_that_are_not_there_or_no_recipes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        load_recipe(str(tmp_path / "no.yaml"))
    with pytest.raises(
        ConfigError, match=r"`docstring` is neither a YAML file nor a recipe. Did you mean `docstrings`"
    ):
        load_recipe("docstring")
    path = tmp_path / "r.yaml"
    for content, message in (
        (b"name: [unclosed", "not YAML: while parsing"),
        (b"- a\n- b\n", "a recipe is a mapping of settings"),
        (b"", "a recipe is a mapping of settings"),
        (b"name: \xff\xfe", "not UTF-8"),
        (b"name: a\nname: b\n", "`name` is there twice"),
    ):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=message):
            load_recipe(str(path))


def test_keys_that_are_no_words_are_refused(recipe: str, tmp_path: Path) -> None:
    values = yaml.safe_load(Path(recipe).read_text())
    with pytest.raises(ConfigError, match=r"^3: keys should be strings"):
        validate(values | {3: "x"})
