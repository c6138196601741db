"""The heart of the suite: the LLM pipeline on known games ends at the Nash policies that linear programming finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from comal.games import PreferenceGame, nash_policy, solve
from comal.pipeline.data.prompts import load_pairs
from comal.pipeline.disk.files import read_json
from comal.pipeline.run.run import Run
from comal.pipeline.training.supervised import make_supervised
from comal.plugins import ALGORITHMS
from comal.recipes.load import validate
from one_token import games, policies, recipe, total_variations

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
    targets = [nash_policy(PreferenceGame(P)) for P in games().values()]
    return total_variations(final_policies(folder, start, algorithm, **changes), targets)


def final_policies(folder: Path, start: Path, algorithm: dict[str, Any], **changes: Any) -> list[np.ndarray]:
    """What a run from `start` ends with, a policy a game."""
    values = recipe(folder / "data", algorithm, policy={"model": str(start), "max_new_tokens": 1}, **changes)
    del values["supervised"]
    plan = validate(values)
    with Run(folder / "run", plan) as run:
        run.execute()
    method = folder / "run" / str(algorithm["name"])
    final = read_json(method / "final.json")["checkpoint"]
    found = policies(method / "steps" / final / "checkpoint")
    assert all(p.sum() > 0.95 for p in found), "almost all mass should stay on the listed answers"
    return found


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


@pytest.mark.slow
@pytest.mark.parametrize(
    "algorithm",
    [
        {"name": "rspo", "eta": 2.0, "reverse_tau": 0.05, "forward_tau": 0.05},
        {"name": "rspo", "eta": 2.0, "reverse_tau": 0.0, "forward_tau": 0.1},
        {"name": "slhf", "eta": 3.0, "tau": 0.2, "follower_tau": 0.3},
    ],
    ids=str,
)
def test_methods_of_other_games_end_where_their_exact_steps_do(
    tmp_path: Path, start: Path, algorithm: dict[str, Any]
) -> None:
    """The equilibrium of each, with the model's own start as its reference; none is near that start."""
    values = recipe(tmp_path / "data", algorithm)
    training = values["training"] | {"loss": "group"}
    found = final_policies(tmp_path, start, algorithm, steps=SHORT, training=training)
    starts = [p / p.sum() for p in policies(start)]
    rule = ALGORITHMS.build(algorithm, "algorithm")
    targets = [
        solve(PreferenceGame(P), rule, gap=0.0, start=s, max_products=1500).policy
        for P, s in zip(games().values(), starts, strict=True)
    ]
    apart = total_variations(found, targets)
    assert apart.mean() < 0.1
    assert apart.max() < 0.16
    assert total_variations(starts, targets).mean() > 2 * apart.mean()
