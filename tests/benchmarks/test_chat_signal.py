"""Which modules of a model have most in common between answers of a kind: on gradients made by hand."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

KINDS = ("brief", "list")
SHARED = 0.5
"""Of every answer's gradient: a direction of its kind has this length, another of its own length 1."""


def products(shared: float) -> np.ndarray:
    directions = np.eye(10)
    gradients = np.stack([shared * directions[number // 4] + directions[2 + number] for number in range(8)])
    return gradients @ gradients.T


def test_what_the_answers_of_a_kind_share_is_told_part_by_part(capsys: pytest.CaptureFixture[str]) -> None:
    name = "base_model.model.model.layers.{}.mlp.{}.lora_B.default.weight".format
    parts = {name(0, "up_proj"): products(0.0), name(4, "down_proj"): products(SHARED)}
    chosen = [(KINDS[number // 4], number, []) for number in range(8)]
    importlib.import_module("chat_signal")._show_modules(parts, chosen)
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    table = {row[0]: (float(row[1]), float(row[2])) for row in rows[2:]}
    own = 1 + SHARED**2
    assert rows[0] == ["part", "own", "brief and list"]
    assert table["up_proj, all layers"] == table["fifth 1 of the layers"] == table["up_proj, fifth 1"] == (1.0, 0.0)
    apart = 2 * SHARED**2 / own  # of the kinds' directions, which are at a right angle
    for part in ("down_proj, all layers", "down_proj, fifth 5", "fifth 5 of the layers", "down_proj, the last layer"):
        assert table[part] == pytest.approx((own, apart), abs=0.06)
    assert table["all of it"] == pytest.approx((1 + own, 2 * SHARED**2 / (1 + own)), abs=0.06)


def test_by_half_life_products_may_be_lopsided(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = [(KINDS[number // 4], number, []) for number in range(8)]
    whole, weighed = products(SHARED), products(SHARED)
    weighed[:4, 4:] += 0.1  # what the one kind learns of the other, and not the other way round
    importlib.import_module("chat_signal")._show_half_lives({None: whole, 1.0: weighed}, chosen)
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    own = 1 + SHARED**2
    assert rows[0] == ["half-life", "own", "brief and list"]
    assert rows[2][:2] == ["none", f"{own:.1f}"]
    assert rows[3][:2] == ["1.0", f"{own:.1f}"]
    assert float(rows[2][2]) == pytest.approx(2 * SHARED**2 / own, abs=1e-3)
    assert float(rows[3][2]) == pytest.approx((2 * SHARED**2 - 0.1) / own, abs=1e-3)


def test_columns_are_of_the_weighed_gradients() -> None:
    random = np.random.default_rng(0)
    rows = {"first": random.normal(size=(3, 5)), "second": random.normal(size=(3, 2))}
    weights = {None: 1.0, 1.0: 0.25}
    asked = []

    def gradient(number: int, ids: list[int], half_life: float | None) -> dict[str, np.ndarray]:
        asked.append((number, ids))
        return {name: weights[half_life] * its[number] for name, its in rows.items()}

    chosen = [("brief", number, [number]) for number in range(3)]
    products = importlib.import_module("chat_signal")._products
    whole = np.concatenate(list(rows.values()), axis=1)
    for half_life, weight in weights.items():
        assert products(rows, gradient, chosen, half_life) == pytest.approx(weight * whole @ whole.T)
    assert asked == [(number, [number]) for number in range(3)] * 2
