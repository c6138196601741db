"""The chat recipe's methods on three kinds of answers: the same iteration by hand, and which game it is."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from comal.recipes.load import load_recipe
from comal.tasks.everyday import kind_of


@pytest.fixture
def chat_model() -> Any:
    return importlib.import_module("chat_model")


def test_the_texts_are_of_their_kinds_and_their_majority_goes_round(chat_model: Any) -> None:
    assert {kind: kind_of(text) for kind, text in chat_model.KINDS.items()} == {kind: kind for kind in chat_model.KINDS}
    P = chat_model.game_of(load_recipe("chat")).P
    assert P[0, 1] == P[1, 2] == P[2, 0] == pytest.approx(0.865, abs=5e-4)


def test_the_last_setting_is_the_recipes(chat_model: Any) -> None:
    recipe, setting = load_recipe("chat"), list(chat_model.SETTINGS.values())[-1]
    inner = recipe.algorithm["inner"]
    assert (setting.eta, setting.tau, setting.steps) == (inner["eta"], inner["tau"], recipe.steps)


@pytest.mark.parametrize("every", [4, 6, None])
@pytest.mark.parametrize("share", [0.3, 1.0])
@pytest.mark.parametrize("name", ["16 forms", "supervised"])
def test_a_share_of_every_step_is_gone(chat_model: Any, name: str, share: float, every: int | None) -> None:
    setting, game = chat_model.SETTINGS[name], chat_model.game_of(load_recipe("chat"))
    eta, tau, start = setting.eta, setting.tau, np.array(setting.start)
    log_p = np.log(start / start.sum())
    reference = log_p
    for step in range(1, setting.steps + 1):
        whole = (1 - eta * tau) * log_p + eta * tau * reference + eta * game.P @ np.exp(log_p)
        log_p = (1 - share) * log_p + share * whole
        log_p = log_p - np.logaddexp.reduce(log_p)
        if every is not None and step % every == 0:
            reference = log_p
    found = chat_model.adversary(game, setting, share, every)
    assert found == pytest.approx((game.P @ np.exp(log_p)).max(), abs=1e-9)


def test_its_table(chat_model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    chat_model.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(chat_model.SETTINGS) * len(chat_model.SHARES)
    assert all(len(row) == 3 + len(chat_model.MOVES) for row in rows)
    assert all(0.5 <= float(cell) < 1 for row in rows[2:] for cell in row[3:])
