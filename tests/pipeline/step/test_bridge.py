"""The heart of the suite: the LLM pipeline on known games ends at the Nash policies that linear programming finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from comal.games import PreferenceGame, nash_policy
from comal.pipeline.disk.files import read_json
from comal.pipeline.run.resources import open_store
from comal.pipeline.run.run import Run
from comal.policies.base import Prompt
from comal.recipes.load import validate
from one_token import ANSWERS, games, recipe

INPO = {"name": "inpo", "eta": 2.0, "tau": 0.2}
COMAL = {"name": "comal", "inner": INPO, "inner_steps": 8, "update": "copy"}
MWU = {"name": "mwu", "eta": 2.0}


def distances(folder: Path, algorithm: dict[str, Any], **changes: Any) -> np.ndarray:
    """Total variation between each game's final policy, a real LM's, and its Nash policy by linear programming."""
    plan = validate(recipe(folder / "data", algorithm, **changes))
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
def comal_distances(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return distances(tmp_path_factory.mktemp("comal"), COMAL)


def test_the_games_are_the_papers_and_three_more_with_nash_policies_that_give_every_answer() -> None:
    tables = games()
    assert np.allclose(nash_policy(PreferenceGame(tables["game 1"])), np.array([4, 3, 4]) / 11)
    assert sorted(len(P) for P in tables.values()) == [3, 3, 5, 5]
    assert all(nash_policy(PreferenceGame(P)).min() > 0.1 for P in tables.values())


def test_comal_on_a_language_model_ends_near_every_games_nash_policy(comal_distances: np.ndarray) -> None:
    assert comal_distances.max() < 0.16
    assert comal_distances.mean() < 0.1


def test_a_fixed_reference_stays_away_from_them(tmp_path: Path, comal_distances: np.ndarray) -> None:
    found = distances(tmp_path, INPO)
    assert found.mean() > 2 * comal_distances.mean()
    assert (found > comal_distances).all()


def test_self_play_ends_far_from_them(tmp_path: Path, comal_distances: np.ndarray) -> None:
    found = distances(tmp_path, MWU)
    assert found.mean() > 0.3
    assert (found > comal_distances).all()
