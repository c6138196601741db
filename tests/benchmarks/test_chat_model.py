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


@pytest.mark.parametrize("every", [4, 6, None])
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_a_share_of_every_step_is_gone(chat_model: Any, share: float, every: int | None) -> None:
    recipe, start = load_recipe("chat"), np.array([0.36, 0.20, 0.43])
    eta, tau = (recipe.algorithm["inner"][name] for name in ("eta", "tau"))
    P = chat_model.game_of(recipe).P
    log_p = np.log(start / start.sum())
    reference = log_p
    for step in range(1, recipe.steps + 1):
        whole = (1 - eta * tau) * log_p + eta * tau * reference + eta * P @ np.exp(log_p)
        log_p = (1 - share) * log_p + share * whole
        log_p = log_p - np.logaddexp.reduce(log_p)
        if every is not None and step % every == 0:
            reference = log_p
    found = chat_model.adversary(recipe, tuple(start), share, every)
    assert found == pytest.approx((P @ np.exp(log_p)).max(), abs=1e-9)


def test_its_table(chat_model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    chat_model.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(chat_model.STARTS) * len(chat_model.SHARES)
    assert all(len(row) == 2 + len(chat_model.MOVES) for row in rows)
    assert all(0.5 <= float(cell) < 1 for row in rows[2:] for cell in row[2:])
