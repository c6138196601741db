"""Kinds over prompts that begin differently: the start is as given, and alike prompts play the class game."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from comal.recipes.load import load_recipe


@pytest.fixture
def spread_game(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = importlib.import_module("chat_spread")
    monkeypatch.setattr(module, "SEEDS", 2)
    return module


@pytest.mark.parametrize("spread", [0.0, 1.3])
def test_it_begins_with_the_settings_shares(spread_game: Any, spread: float) -> None:
    setting = list(spread_game.SETTINGS.values())[-1]
    offsets, logits = spread_game.begin(setting, spread, np.random.default_rng(3))
    found = spread_game.shares(offsets + logits)
    assert found.mean(axis=0) == pytest.approx(np.array(setting.start) / sum(setting.start), abs=1e-6)
    assert (found.std(axis=0).max() > 0.1) == (spread > 0)


def test_with_alike_prompts_and_all_answers_it_is_the_class_game(
    spread_game: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every answer of every prompt, and steps that arrive whole: then a step is exact, but for sampling."""
    monkeypatch.setattr(spread_game, "DRAWN", 250)
    monkeypatch.setattr(spread_game, "ANSWERS", 400)
    monkeypatch.setattr(spread_game, "IN_COMMON", np.full(3, 1e9))
    game = spread_game.game_of(load_recipe("chat"))
    setting = replace(list(spread_game.SETTINGS.values())[-1], steps=3)
    exact = importlib.import_module("chat_model").adversary(game, setting, 1.0, 2)
    assert spread_game.adversary(game, setting, 0.0, 2, seed=0) == pytest.approx(exact, abs=0.01)


def test_a_kind_that_nobody_drew_stays_where_it_is(spread_game: Any) -> None:
    assert spread_game._arrives(np.array([]), 0.4) == 0.0
    assert spread_game._arrives(np.array([1.0, 3.0]), 0.5) == pytest.approx(0.5 * 2.0)


def test_its_table(spread_game: Any, capsys: pytest.CaptureFixture[str]) -> None:
    spread_game.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(spread_game.SPREADS)
    assert all(0.5 <= float(cell.split(" ± ")[0]) < 1 for row in rows[2:] for cell in row[2:])
