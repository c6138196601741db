"""Trained on what two answers at once are worth, a real language model leaves the Nash policy for the equilibrium."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import one_game
from comal.evaluation.exploitability.adversaries import Adversary
from comal.evaluation.exploitability.certificate import read_certificate
from comal.games import solve
from comal.games.populations import PopulationGame
from comal.pipeline.run.run import Run
from comal.recipes.load import validate
from command_line import comal

USERS = np.array([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0]])
"""Of a, b and c: 55% like a best and 45% b, so that the Nash policy says a and nothing else."""
WEIGHTS = (5.5, 4.5)


def user(first: str, second: str) -> dict[str, object]:
    rules = [{"measure": "starts_with", "pattern": letter} for letter in (first, second)]
    return {"name": "rules", "sharpness": 40.0, "rules": rules}


@pytest.mark.slow
def test_self_play_with_two_answers_shown_ends_where_both_users_find_theirs(tmp_path: Path) -> None:
    """Self-play converges for k ≥ 2; the exact equilibrium is what `comal solve` finds."""
    equilibrium = solve(PopulationGame(USERS, np.array(WEIGHTS), answers_shown=2)).policy
    assert 0.6 < equilibrium[0] < 0.7, equilibrium
    judge = {"name": "population", "members": [user("a", "b"), user("b", "a")], "weights": list(WEIGHTS)}
    values = one_game.recipe(
        tmp_path / "data", judge=judge, answers_shown=2, algorithm={"name": "mwu", "eta": 3.0}, steps=16
    )
    with Run(tmp_path / "run", validate(values)) as run:
        result = run.execute()
    assert result is not None
    last = result.policies["mwu"]
    assert last.figures.classes is not None
    shares = np.array([last.figures.classes.get(letter, 0.0) for letter in one_game.ANSWERS])
    np.testing.assert_allclose(shares, equilibrium, atol=0.12)
    assert last.several is not None
    two = next(figures for figures in last.several if figures.answers_shown == 2)
    assert two.win_rate.mean > 0.6, "two draws of the Nash policy win .55, two of the equilibrium 2/3"
    sizes = ("steps=1", "every=1", "evaluation.test_prompts=6", "evaluation.best_of=[]")
    done = comal("certify", tmp_path / "run", *(word for size in sizes for word in ("--set", size)))
    assert done.exit_code == 0, done.output
    assert "several answers at once" in done.stdout
    certificate = read_certificate(tmp_path / "run" / "certify" / "mwu" / "certificate.json")
    assert certificate.settings["answers_shown"] == 2
    of_two = next(figures for figures in certificate.several if figures.answers_shown == 2)
    exploiter = certificate.exploiters[0]
    assert Adversary.named(exploiter.name) in of_two.adversaries
    # One answer against two that are drawn alike wins a third.
    assert exploiter.curve[0].win_rate.mean == pytest.approx(1 / 3, abs=0.1)
