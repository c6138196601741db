"""The heart of the suite: the LLM pipeline on known games ends at the Nash policies that linear programming finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from comal.games import PreferenceGame, nash_policy
from comal.pipeline.data.prompts import load_pairs
from comal.pipeline.disk.files import read_json
from comal.pipeline.run.resources import open_store
from comal.pipeline.run.run import Run
from comal.pipeline.training.supervised import make_supervised
from comal.policies.base import Prompt
from comal.recipes.load import validate
from one_token import ANSWERS, games, recipe

INPO = {"name": "inpo", "eta": 2.0, "tau": 0.2}
COMAL = {"name": "comal", "inner": INPO, "inner_steps": 8, "update": "copy"}
MWU = {"name": "mwu", "eta": 2.0}
# With ητ = .4 exact steps are within 1e-5 of where a fixed reference rests after 24, and self-play only goes round.
SHORT = 24


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The supervised model that every algorithm starts from."""
    folder = tmp_path_factory.mktemp("start")
    plan = validate(recipe(folder / "data", MWU))
    assert plan.supervised is not None
    make_supervised(folder / "model", load_pairs(plan.supervised.data, "supervised.data", plan.seed), plan)
    return folder / "model"


def distances(folder: Path, start: Path, algorithm: dict[str, Any], **changes: Any) -> np.ndarray:
    """Total variation between each game's final policy, a real LM's, and its Nash policy by linear programming."""
    values = recipe(folder / "data", algorithm, policy={"model": str(start), "max_new_tokens": 1}, **changes)
    del values["supervised"]
    plan = validate(values)
    with Run(folder / "run", plan) as run:
        run.execute()
    method = folder / "run" / str(algorithm["name"])
    final = read_json(method / "final.json")["checkpoint"]
    policy = open_store(folder / "run", plan).open(method / "steps" / final / "checkpoint")
    found = []
    for prompt, P in games().items():
        answers = [tuple(policy.tokenizer(a)["input_ids"]) for a in ANSWERS[: len(P)]]
        assert all(len(tokens) == 1 for tokens in answers)
        p = np.exp(policy.score_groups([(policy.encoder(Prompt.of_text(prompt)), answers)])[0])
        assert p.sum() > 0.95, "almost all mass should stay on the listed answers"
        found.append(0.5 * (np.abs(p - nash_policy(PreferenceGame(P))).sum() + 1 - p.sum()))
    return np.array(found)


@pytest.fixture(scope="module")
def comal_distances(tmp_path_factory: pytest.TempPathFactory, start: Path) -> np.ndarray:
    return distances(tmp_path_factory.mktemp("comal"), start, COMAL)


def test_the_games_are_the_papers_and_three_more_with_nash_policies_that_give_every_answer() -> None:
    tables = games()
    assert np.allclose(nash_policy(PreferenceGame(tables["game 1"])), np.array([4, 3, 4]) / 11)
    assert sorted(len(P) for P in tables.values()) == [3, 3, 5, 5]
    assert all(nash_policy(PreferenceGame(P)).min() > 0.1 for P in tables.values())


def test_comal_on_a_language_model_ends_near_every_games_nash_policy(comal_distances: np.ndarray) -> None:
    assert comal_distances.max() < 0.16
    assert comal_distances.mean() < 0.1


def test_a_fixed_reference_stays_away_from_them(tmp_path: Path, start: Path, comal_distances: np.ndarray) -> None:
    found = distances(tmp_path, start, INPO, steps=SHORT)
    assert found.mean() > 2 * comal_distances.mean()
    assert (found > comal_distances).all()


def test_self_play_ends_far_from_them(tmp_path: Path, start: Path, comal_distances: np.ndarray) -> None:
    found = distances(tmp_path, start, MWU, steps=SHORT)
    assert found.mean() > 0.3
    assert (found > comal_distances).all()
