"""The judges that a chat run is shown to afterwards are what their file says, on the three kinds of answers."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from comal.games import nash_policy
from comal.recipes.load import load_recipe


def test_majorities_of_the_other_judges() -> None:
    judges = importlib.import_module("chat_judges").judges
    game_of = importlib.import_module("chat_model").game_of
    recipe = load_recipe("chat")
    found = {title: game_of(recipe.model_copy(update={"judge": spec})) for title, spec in judges(recipe.judge).items()}
    own, blunt, four, one = found.values()
    assert np.array_equal(own.P, game_of(recipe).P)
    assert 0.5 < blunt.P[0, 1] < own.P[0, 1], "the same cycle, noisier"
    assert blunt.P[0, 1] == blunt.P[1, 2] == blunt.P[2, 0]
    assert (four.P[0, 2], four.P[1, 2]) == (pytest.approx(0.5), pytest.approx(0.5))
    assert four.P[0, 1] > own.P[0, 1]
    assert nash_policy(one) == pytest.approx([1, 0, 0], abs=1e-6), "brief, then list, then prose: no cycle"
