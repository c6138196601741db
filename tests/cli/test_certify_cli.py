"""`comal certify` as a person types it, above all with mistakes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import tiny_models
import tiny_run
from comal.pipeline.disk.files import read_json
from command_line import comal, refused

QUICK = ["--set", "steps=2", "--set", "every=1", "--set", "starts=[start]"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two methods, beside its recipe."""
    folder = tmp_path_factory.mktemp("run")
    values = tiny_run.values(folder / "data", baselines={"self-play": {"name": "mwu", "eta": 2.0}})
    recipe = tiny_run.write(folder, values)
    done = comal("run", recipe, "--output-dir", folder / "run")
    assert done.exit_code == 0, done.output
    return folder / "run"


def test_a_finished_run_is_certified_method_by_method(run: Path, tmp_path: Path) -> None:
    whole = tmp_path / "run"
    shutil.copytree(run, whole)
    first = comal("certify", whole, "--method", "comal", "--json", *QUICK)
    assert first.exit_code == 0, first.output
    (alone,) = json.loads(first.stdout)["certificates"]
    assert alone["policy"] == "comal"
    assert alone["prompts"] == 2
    assert alone["seen"] == 2, "the run's own evaluation had used both test prompts there are"
    assert {"start", "self-play", "comal@2"} <= {a["name"] for a in alone["adversaries"]}
    assert read_json(whole / "certify" / "comal" / "certificate.json") == alone
    both = comal("certify", whole, *QUICK)
    assert both.exit_code == 0, both.output
    assert read_json(whole / "certify" / "comal" / "certificate.json") == alone
    assert (whole / "certify" / "self-play" / "certificate.json").is_file()
    for part in ("comal: who beats it, on 2 fresh prompts", "self-play: who", "lower bound", "trained exploiter"):
        assert part in both.stdout
    assert "wins, on validation" in both.stderr
    refused(comal("certify", whole, *QUICK, "--set", "steps=3"), "another configuration", "steps was 2, is 3")
    refused(comal("certify", whole, *QUICK, "--against", run / "model"), "against")


def test_a_model_of_a_run_against_another_of_it(run: Path, tmp_path: Path) -> None:
    recipe = run.parent / "recipe.yaml"
    checkpoint = run / "self-play" / "steps" / "00003" / "checkpoint"
    outcome = comal(
        "certify", run / "model", "--recipe", recipe, "--against", checkpoint, "--output-dir", tmp_path / "c", "--json",
        *QUICK,
    )  # fmt: skip
    assert outcome.exit_code == 0, outcome.output
    (found,) = json.loads(outcome.stdout)["certificates"]
    assert found["policy"] == "model"
    assert found["seen"] == 0
    assert str(checkpoint) in {a["name"] for a in found["adversaries"]}
    assert (tmp_path / "c" / "supervised").is_dir(), "the recipe's starting model, made as a run would make it"


def test_mistakes_are_one_message_each(run: Path, tmp_path: Path) -> None:
    recipe = run.parent / "recipe.yaml"
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(comal("certify", tmp_path / "nowhere"), "nowhere: there is no run here")
    refused(comal("certify", empty), "empty: there is no run here")
    refused(comal("certify", tmp_path / "nowhere", "--recipe", recipe), "there is no such folder")
    refused(comal("certify", empty, "--recipe", recipe), "holds no model")
    refused(comal("certify", run / "model"), "--recipe: ", "is a model: name the recipe")
    refused(comal("certify", run, "--recipe", recipe), "--recipe: ", "has its own recipe")
    refused(comal("certify", run / "model", "--recipe", "docstring"), "Did you mean `docstrings`?")
    refused(comal("certify", run / "model", "--recipe", recipe, "--method", "comal"), "--method: ")
    refused(comal("certify", run, "--method", "self-paly"), "`self-paly` is no policy of this run", "`self-play`")
    refused(comal("certify", run, "--against", empty), "empty", "holds no model")
    refused(comal("certify", run, "--set", "evaluation.sample=3"), "evaluation.sample", "Did you mean `samples`?")
    refused(comal("certify", run, "--set", "judge=matrx"), "judge.name: `matrx` is not a judge")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.safetensors").write_bytes(b"x")
    refused(comal("certify", adapter, "--recipe", recipe), "adapter_config.json names no base model")
    assert not (run / "certify").exists(), "nothing was made"


@pytest.mark.parametrize("name", ["start", "self-play", "comal", "comal@2", "best of 2 from start", "only a"])
def test_an_adversary_called_like_another_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It would be left out, or take the place of a policy of the pool, under that one's name."""
    shutil.copytree(run / "model", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    message = f"--against: the folder `{name}` is called like an adversary that is there already"
    refused(comal("certify", run, "--against", name), message, f"--against '{tmp_path / name}'")
    assert not (run / "certify").exists()


def test_an_adversary_called_like_the_certified_model_enters_by_its_whole_path(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run / "self-play" / "steps" / "00003" / "checkpoint", tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    command = ["certify", run / "model", "--recipe", run.parent / "recipe.yaml", "--output-dir", "c", *QUICK]
    refused(comal(*command, "--against", "model"), "--against: the folder `model` is called like an adversary")
    assert not (tmp_path / "c").exists()
    outcome = comal(*command, "--against", tmp_path / "model", "--json")
    assert outcome.exit_code == 0, outcome.output
    (found,) = json.loads(outcome.stdout)["certificates"]
    assert found["policy"] == "model"
    assert str(tmp_path / "model") in {a["name"] for a in found["adversaries"]}


def test_a_model_has_no_earlier_policies(run: Path) -> None:
    command = ["certify", run / "model", "--recipe", run.parent / "recipe.yaml"]
    refused(comal(*command, "--set", "evaluation.pool_size=5"), "evaluation.pool_size: a model has no earlier policies")


def test_an_unfinished_run_is_refused(run: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    shutil.copytree(run, half)
    (half / "result.json").unlink()
    refused(comal("certify", half), "half: the run is not finished; type the `comal run` command")


def test_a_whole_model_where_the_recipe_trains_adapters(run: Path, tmp_path: Path) -> None:
    base = tiny_models.save_causal_lm(tmp_path / "base")
    values = {k: v for k, v in tiny_run.values(tmp_path / "data").items() if k != "supervised"}
    recipe = tiny_run.write(tmp_path, values | {"policy": {"model": base, "lora": {"r": 2, "alpha": 4.0}}})
    refused(comal("certify", run / "model", "--recipe", recipe), "holds no adapter", "policy.lora")
