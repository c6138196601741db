"""The supervised stage killed anywhere goes on from its last whole checkpoint, to the same bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers

import one_token
import tiny_models
from comal.errors import RunError
from comal.pipeline.data.prompts import Pair, load_pairs
from comal.pipeline.disk.layout import SupervisedFolder
from comal.pipeline.training.supervised import make_supervised
from comal.recipes.load import validate
from comal.recipes.settings import Recipe

STEPS = 20  # 4 epochs of 5 batches; a checkpoint at every second step


class Killed(BaseException):
    """Comes where a signal could."""


def recipe(folder: Path, **changes: Any) -> Recipe:
    plain = one_token.recipe(folder / "data", {"name": "mwu", "eta": 1.0}, seed=3)
    plain["policy"]["from_scratch"] |= {"hidden_size": 32, "intermediate_size": 64, "layers": 1, "heads": 1}
    plain["supervised"] |= {"epochs": 4, "batch_size": 64, "learning_rate": 1e-2, "temperature": 0.5}
    plain["supervised"]["data"]["limit"] = 300
    for name, value in changes.items():
        plain[name] = plain[name] | value
    return validate(plain)


def with_lora(folder: Path) -> Recipe:
    model = tiny_models.save_causal_lm(folder / "base", hidden_size=32, layers=1, initializer_range=0.2)
    policy = {"model": model, "from_scratch": None, "lora": {"r": 2, "alpha": 4}}
    return recipe(folder, policy=policy, supervised={"temperature": 1.0})


def pairs_of(made: Recipe) -> list[Pair]:
    assert made.supervised is not None
    return load_pairs(made.supervised.data, "supervised.data", made.seed)


def steps_of(monkeypatch: pytest.MonkeyPatch, killed_at: Callable[[int], bool] = lambda _: False) -> list[int]:
    """The optimiser steps that begin from now on, one of which may be killed."""
    begun: list[int] = []
    train = transformers.Trainer.training_step

    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        if killed_at(self.state.global_step):
            raise Killed
        begun.append(self.state.global_step)
        return train(self, *args, **kwargs)

    monkeypatch.setattr(transformers.Trainer, "training_step", step)
    return begun


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_an_adapter_trained_in_mixed_precision_is_merged_as_what_it_is(tmp_path: Path) -> None:
    """The whole model is held against the adapter's own log-probabilities, and not against bfloat16's."""
    told = with_lora(tmp_path)
    assert told.supervised is not None
    mixed = told.supervised.model_copy(update={"arguments": {"bf16": True}, "epochs": 1.0})
    make_supervised(tmp_path / "made", pairs_of(told), told.model_copy(update={"supervised": mixed}))
    assert (tmp_path / "made" / "model.safetensors").is_file()


@pytest.mark.parametrize("made", [recipe, with_lora], ids=["whole", "lora"])
@pytest.mark.parametrize("moments", [(1,), (5, 11)], ids=str)
def test_what_was_killed_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Callable[[Path], Recipe], moments: tuple[int, ...]
) -> None:
    told = made(tmp_path)
    pairs = pairs_of(told)
    make_supervised(tmp_path / "whole" / "model", pairs, told)
    folder = tmp_path / "killed"
    for moment in moments:
        with monkeypatch.context() as patch:
            steps_of(patch, lambda step, moment=moment: step == moment)
            with pytest.raises(Killed):
                make_supervised(folder / "model", pairs, told)
        assert len(list(SupervisedFolder(folder / "model").state.glob("checkpoint-*"))) == min(2, moment // 2)
    with monkeypatch.context() as patch:
        begun = steps_of(patch)
        make_supervised(folder / "model", pairs, told)
    assert begun == list(range(moments[-1] // 2 * 2, STEPS)), "from the last checkpoint on"
    assert contents(folder / "model") == contents(tmp_path / "whole" / "model")
    loss = json.loads((folder / "model" / "supervised.json").read_text())["loss"]
    assert 0 < loss < math.log(280), "better than a uniform guess, over all of the stage"


def test_the_last_of_an_unfinished_epoch_is_no_step_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = recipe(tmp_path, supervised={"epochs": 0.6})
    with monkeypatch.context() as patch:
        steps_of(patch, lambda step: step == 2)
        with pytest.raises(Killed):
            make_supervised(tmp_path / "killed" / "model", pairs_of(told), told)
    begun = steps_of(monkeypatch)
    make_supervised(tmp_path / "killed" / "model", pairs_of(told), told)
    assert begun == [2]
    make_supervised(tmp_path / "whole" / "model", pairs_of(told), told)
    assert begun == [2, 0, 1, 2]
    assert contents(tmp_path / "killed" / "model") == contents(tmp_path / "whole" / "model")


def test_a_torn_checkpoint_and_those_of_another_training_are_not_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = recipe(tmp_path)
    pairs = pairs_of(told)
    make_supervised(tmp_path / "whole" / "model", pairs, told)

    def killed(told: Recipe, pairs: list[Pair]) -> Path:
        with monkeypatch.context() as patch:
            steps_of(patch, lambda step: step == 7)
            with pytest.raises(Killed):
                make_supervised(tmp_path / "killed" / "model", pairs, told)
        return SupervisedFolder(tmp_path / "killed" / "model").state / "checkpoint-6"

    last = killed(told, pairs)
    (last / "whole.json").unlink()
    (last / "optimizer.pt").write_bytes((last / "optimizer.pt").read_bytes()[:100])
    with monkeypatch.context() as patch:
        begun = steps_of(patch)
        make_supervised(tmp_path / "killed" / "model", pairs, told)
    assert begun == list(range(4, STEPS)), "from the whole one before"
    assert contents(tmp_path / "killed" / "model") == contents(tmp_path / "whole" / "model")

    for other, rows in ((recipe(tmp_path, supervised={"learning_rate": 2e-2}), pairs), (told, pairs[:-1])):
        killed(other, rows)
        with monkeypatch.context() as patch:
            begun = steps_of(patch)
            make_supervised(tmp_path / "killed" / "model", pairs, told)
        assert begun == list(range(STEPS)), "from the beginning"
        assert contents(tmp_path / "killed" / "model") == contents(tmp_path / "whole" / "model")


def test_a_diverged_stage_is_told_at_its_first_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = recipe(tmp_path, supervised={"learning_rate": 1e30, "scheduler": "constant", "warmup": 0.0})
    begun = steps_of(monkeypatch)
    with pytest.raises(RunError, match="training diverged; lower the learning rate"):
        make_supervised(tmp_path / "model", pairs_of(told), told)
    assert len(begun) < STEPS / 2
    assert not (tmp_path / "model").exists()
