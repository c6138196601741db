"""Psi payoffs: what the mappings are, what is asked of the judge, and what they keep of tournaments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse.csgraph import connected_components

from comal.errors import ConfigError
from comal.games import PreferenceGame, nash_policy
from comal.judges.asking.oracle import Oracle
from comal.judges.base import Comparison, Judge, Records
from comal.judges.matrix import Matrix
from comal.judges.psi import Psi
from comal.plugins import JUDGES
from random_games import random_table

seeds = st.integers(0, 2**32 - 1)
P = random_table(4, 1)
ANSWERS = ("a", "b", "c", "d")
JUDGE = Matrix({"x": P.tolist()}, ANSWERS)
PSIS = [
    Psi(JUDGE, exponent=1.0), Psi(JUDGE, exponent=0.3), Psi(JUDGE, exponent=5.0), Psi(JUDGE, "log_odds", bound=2.0),
    Psi(JUDGE, "majority"),
]  # fmt: skip
by_name = pytest.mark.parametrize("psi", PSIS, ids=lambda p: f"{p.mapping}-{p.exponent or p.bound or ''}")
ALL_PAIRS = [Comparison("x", a, b) for a in ANSWERS for b in ANSWERS]


def smith_set(table: np.ndarray) -> set[int]:
    """Of a tournament: the strong component of "beats" that no answer outside beats into."""
    count, component = connected_components(table > 0.5, connection="strong")
    groups = [set(np.flatnonzero(component == c).tolist()) for c in range(count)]
    n = len(table)
    return next(g for g in groups if all(table[i, j] > 0.5 for i in g for j in set(range(n)) - g))


def first_players_solution(payoff: np.ndarray) -> np.ndarray:
    """Of any zero-sum game, symmetric or not, by SciPy's HiGHS: max v with every column at least v."""
    n = len(payoff)
    found = linprog(
        np.append(np.zeros(n), -1), A_ub=np.column_stack([-payoff.T, np.ones(n)]), b_ub=np.zeros(n),
        A_eq=[[1.0] * n + [0.0]], b_eq=[1.0], bounds=[(0, 1)] * n + [(None, None)],
    )  # fmt: skip
    return found.x[:n]


@by_name
def test_a_mapping_is_antisymmetric_and_keeps_the_order_around_one_half(psi: Psi) -> None:
    t = np.linspace(0, 1, 201)
    mapped = psi.of(t)
    np.testing.assert_allclose(mapped + psi.of(1 - t), 1, atol=1e-12)
    assert (psi.of(np.array([0.0, 0.5, 1.0])) == [0, 0.5, 1]).all()
    assert (mapped[t < 0.499] < 0.5).all()
    assert (np.diff(mapped) >= 0).all()


def test_mappings_by_hand() -> None:
    t = np.array([0.8, 0.25])
    np.testing.assert_allclose(Psi(JUDGE, exponent=2.0).of(t), [0.64 / 0.68, 0.0625 / 0.625])
    np.testing.assert_allclose(Psi(JUDGE, exponent=1.0).of(t), t)
    np.testing.assert_allclose(Psi(JUDGE, "log_odds", bound=2.0).of(t), 0.5 + np.log([4, 1 / 3]) / 4)
    assert Psi(JUDGE, "log_odds", bound=1.0).of(t).tolist() == [1.0, 0.0]
    assert Psi(JUDGE, "majority").of(t).tolist() == [1.0, 0.0]


def test_log_odds_of_rewards_are_their_differences() -> None:
    """Bradley-Terry: Psi = 1/2 + (r - r') / (2 bound), so payoffs against any opponent are rewards, as in RLHF."""
    r = np.array([0.3, -1.0, 1.2, 0.0])
    table = 1 / (1 + np.exp(r[None, :] - r[:, None]))
    np.testing.assert_allclose(Psi(JUDGE, "log_odds", bound=4.0).of(table), 0.5 + (r[:, None] - r[None, :]) / 8)


@by_name
@settings(max_examples=40)
@given(st.integers(1, 7), seeds)
def test_nothing_outside_the_smith_set_is_in_the_solution_and_a_condorcet_winner_is_all_of_it(
    psi: Psi, n: int, seed: int
) -> None:
    """And where more than one answer is in it, the solution mixes: their corollary 4.2."""
    table = random_table(n, seed)
    assume(np.abs(table[np.triu_indices(n, 1)] - 0.5).min(initial=1) > 1e-3)  # no ties
    policy = nash_policy(PreferenceGame(psi.of(table)))
    smith = smith_set(table)
    assert set(np.flatnonzero(policy > 1e-7).tolist()) <= smith
    assert (policy.max() > 1 - 1e-7) == (len(smith) == 1)


ASYMMETRIC: Callable[[np.ndarray], np.ndarray] = lambda t: np.minimum(t, 0.5) + 0.01 * np.maximum(t - 0.5, 0)  # noqa: E731


def test_a_mapping_that_is_not_antisymmetric_keeps_condorcet_winners_and_loses_the_smith_set() -> None:
    """Psi rises throughout but hardly above 1/2: then an answer that loses to all narrowly is the safest.

    a beats b beats c beats a for certain, and each beats d by .51. In the cycle a third of the payoffs is 0, so that no
    policy on it is worth more than about 1/3, while d is worth Psi(.49) = .49 against everybody. This is why the file's
    mappings are antisymmetric.
    """
    table = np.full((4, 4), 0.51)
    table[:3, :3] = [[0.5, 1, 0], [0, 0.5, 1], [1, 0, 0.5]]
    table[3] = [0.49, 0.49, 0.49, 0.5]
    assert smith_set(table) == {0, 1, 2}
    assert first_players_solution(ASYMMETRIC(table))[3] > 0.9
    assert nash_policy(PreferenceGame(table))[3] == pytest.approx(0, abs=1e-9)
    for seed in range(20):
        winner = random_table(4, seed)
        winner[0, 1:], winner[1:, 0] = 0.52, 0.48
        assert first_players_solution(ASYMMETRIC(winner))[0] == pytest.approx(1, abs=1e-6)


@by_name
def test_the_judge_is_its_table_mapped(psi: Psi) -> None:
    found = psi.compare(ALL_PAIRS)
    assert found == pytest.approx(psi.of(P).ravel().tolist(), abs=1e-12)


@dataclass(frozen=True, slots=True)
class Leaning(Judge):
    """Gives the answer that comes first .2 more than it should have; silent on a question's second order where told."""

    silent: bool = False

    def compare(self, comparisons: Sequence[Comparison]) -> list[float | None]:
        """The table's P and .2."""
        rows = [(ANSWERS.index(c.first), ANSWERS.index(c.second)) for c in comparisons]
        return [None if self.silent and i > j else min(1.0, 0.6 * float(P[i, j]) + 0.4) for i, j in rows]


def test_both_orders_are_averaged_before_the_mapping() -> None:
    """.6 P + .4 forth and .6 (1 - P) + .4 back make .2 + .6 P; the mean of two mapped orders would be another."""
    psi = Psi(Leaning(), exponent=4.0)
    expected = psi.of(0.2 + 0.6 * P)
    pairs = [c for c in ALL_PAIRS if c.first != c.second]
    found = psi.compare(pairs)
    assert found == pytest.approx([float(e) for e in expected[~np.eye(4, dtype=bool)]], abs=1e-12)
    oracle = Oracle(psi)
    assert oracle.win_probabilities(pairs) == pytest.approx(found, abs=1e-12)
    assert oracle.stats.judge_calls == 6, "of the mapped judge one order is enough"


def test_without_a_verdict_in_one_order_there_is_none() -> None:
    pairs = [Comparison("x", "a", "b"), Comparison("x", "b", "a")]
    psi = Psi(Leaning(silent=True), exponent=2.0)
    assert psi.compare(pairs) == [None, None]
    (part,) = psi.compare_in_parts(pairs)
    assert [verdict.probability for verdict in part] == [None, None]


def test_verdicts_of_the_judge_are_kept_for_other_mappings(tmp_path: Path) -> None:
    """An expensive judge is asked once for all of them; the mapped verdicts lie apart."""
    pairs = [Comparison("x", "a", "b"), Comparison("x", "c", "b")]
    records = Records(tmp_path / "verdicts.sqlite")
    first = [list(Psi(Leaning(), exponent=2.0).compare_in_parts(pairs, records))]
    # Silent now where it would be asked at all.
    again = list(Psi(Leaning(), "majority").compare_in_parts(pairs, records))
    assert [v.probability for v in again[0]] == [float(p > 0.5) for p in (P[0, 1], P[2, 1])]
    assert first[0][0][0].probability != again[0][0].probability
    assert Psi(Leaning(), exponent=2.0).fingerprint() != Psi(Leaning(), exponent=3.0).fingerprint()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "exponent: `power` needs one"),
        ({"exponent": 0}, "exponent: need a number above 0, got 0"),
        ({"exponent": float("nan")}, "exponent: need a number above 0"),
        ({"exponent": 2, "bound": 1}, "bound: `power` has none; leave it out"),
        ({"mapping": "log_odds"}, "bound: `log_odds` needs one"),
        ({"mapping": "log_odds", "bound": float("inf")}, "bound: need a number above 0"),
        ({"mapping": "majority", "exponent": 2}, "exponent: `majority` has none; leave it out"),
        ({"mapping": "logodds", "bound": 2}, "power"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], message: str) -> None:
    spec = {"name": "psi", "judge": {"name": "matrix", "games": {"x": [[0.5]]}, "answers": ["a"]}} | options
    with pytest.raises(ConfigError, match=message):
        JUDGES.build(spec, "judge")
