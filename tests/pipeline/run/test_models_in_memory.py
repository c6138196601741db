"""Never more whole models in memory than the one that is trained and one that scores: counted in real runs."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import transformers

import tiny_models
import tiny_run
from comal.pipeline.crossplay.sources import Model, Stores
from comal.pipeline.run.run import Run
from comal.policies import store
from comal.policies.encoder import PromptFormat
from comal.recipes.load import validate

EXTRAGRADIENT = {"name": "egpo", "eta": 2.0, "tau": 0.2}
NASH_MD = {"name": "nash_md", "eta": 2.0, "tau": 0.2}


class Models:
    """Every model that a store has loaded, for as long as it lives."""

    def __init__(self) -> None:
        self.loaded: list[weakref.ref[Any]] = []
        self.most = 0
        self.while_training: list[int] = []

    def alive(self) -> int:
        return sum(model() is not None for model in self.loaded)

    def count(self, model: Any) -> Any:
        self.loaded.append(weakref.ref(model))
        self.most = max(self.most, self.alive())
        return model


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Models:
    """Without a garbage collector of cycles: what is dropped is gone at once, or it counts."""
    found = Models()
    load, train = store.load_whole, transformers.Trainer.train
    monkeypatch.setattr(store, "load_whole", lambda *args: found.count(load(*args)))

    def trained(self: Any, *args: Any, **kwargs: Any) -> Any:
        if found.loaded:  # not yet in the supervised stage, whose model no store has loaded
            found.while_training.append(found.alive())
        return train(self, *args, **kwargs)

    monkeypatch.setattr(transformers.Trainer, "train", trained)
    return found


@pytest.mark.parametrize(
    "algorithm",
    [
        pytest.param(tiny_run.COMAL, id="comal"),
        pytest.param(NASH_MD, id="nash_md", marks=pytest.mark.slow),
        pytest.param(EXTRAGRADIENT, id="egpo", marks=pytest.mark.slow),
    ],
)
def test_one_model_scores_beside_the_one_that_is_trained(tmp_path: Path, models: Models, algorithm: Any) -> None:
    values = tiny_run.values(tmp_path / "data", algorithm, steps=3)
    with Run(tmp_path / "run", validate(values)) as started:
        gc.collect()
        started.execute()
    assert len(models.while_training) == 3
    assert max(models.while_training) <= 2
    assert models.most == 2, "a policy and its reference, and never a third"
    assert len(models.loaded) < 20, "and they are not loaded over and over again"


def test_an_evaluation_of_many_models_holds_two_of_them(tmp_path: Path, models: Models) -> None:
    """Of several origins, each with a store of its own."""
    folders = [tiny_models.save_causal_lm(tmp_path / str(i), seed=i, hidden_size=32, layers=1) for i in range(4)]
    stores = Stores({}, PromptFormat())
    for folder in [*folders, folders[0]]:
        model = Model(folder, folder)
        assert stores.store(model).open(model.checkpoint).model is not None
    assert len(models.loaded) == 5
    assert models.most <= 2


def test_a_mixture_has_all_of_its_members_and_is_put_away_for_the_next(tmp_path: Path, models: Models) -> None:
    folders = [tiny_models.save_causal_lm(tmp_path / str(i), seed=i, hidden_size=32, layers=1) for i in range(4)]
    opened = store.PolicyStore(folders[0])
    for folder in folders:
        opened.open(folder)
    assert models.alive() == 2
    mixture = opened.open_mixture(dict.fromkeys(folders[:3], 1 / 3))
    assert models.most == models.alive() == 3, "nothing beside the three"
    del mixture
    model = opened.trainable(folders[0])
    assert models.alive() == 2
    assert len(models.loaded) == 6, "the third stayed, and what is trained was in memory already"
    opened.open(folders[3])
    assert models.alive() == 2, "one that scores beside the one that is trained"
    opened.adopt(model, folders[1])
    assert opened.open(folders[1]).model is model
    assert models.alive() == 2
    alone = opened.trainable(folders[1], alone=True)
    assert alone is model
    assert models.alive() == 1
