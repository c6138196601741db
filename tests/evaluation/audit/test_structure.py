"""Whom the Nash policy of a table plays is found without a linear program where that is known."""

from __future__ import annotations

import numpy as np
import pytest

from comal.evaluation.audit import structure
from comal.evaluation.audit.structure import _IN_SUPPORT, _played
from comal.games import PreferenceGame, nash_policy


def table(rng: np.random.Generator, n: int, parts: int) -> np.ndarray:
    """Win rates in so many parts, with some even ones."""
    upper = np.triu(rng.integers(0, parts + 1, size=(n, n)) / parts, 1)
    return upper + np.tril(1 - upper.T, -1) + np.eye(n) / 2


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_it_is_whom_the_linear_program_plays(n: int) -> None:
    rng = np.random.default_rng(n)
    for parts in (2, 5, 7, 40):
        for _ in range(15):
            P = table(rng, n, parts)
            found = nash_policy(PreferenceGame(P)) > _IN_SUPPORT
            assert (_played(P) == found).all(), P


@pytest.mark.parametrize(
    ("P", "played"),
    [
        ([[0.5, 0.51, 0.9], [0.49, 0.5, 0.0], [0.1, 1.0, 0.5]], [True, False, False]),
        ([[0.5, 0.51, 0.1], [0.49, 0.5, 0.99], [0.9, 0.01, 0.5]], [True, True, True]),
        ([[0.5, 0.4, 0.7], [0.6, 0.5, 0.2], [0.3, 0.8, 0.5]], [True, True, True]),
    ],
)
def test_one_winner_and_a_circle_need_none(
    P: list[list[float]], played: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(structure, "nash_policy", None)
    assert _played(np.array(P)).tolist() == played
