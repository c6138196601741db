import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comal.errors import DataError
from comal.evaluation.crossplay.crossplay import Outcomes, cross_play, from_tables
from comal.evaluation.crossplay.empirical_game import empirical_game
from comal.evaluation.estimates import DIFFERENCE, SHARE, mean_interval
from comal.evaluation.intervals import Bootstrap
from comal.judges.asking.oracle import Oracle
from comal.judges.base import Comparison, Judge
from comal.judges.matrix import Matrix

CYCLE = [[0.5, 0.9, 0.2], [0.1, 0.5, 0.7], [0.8, 0.3, 0.5]]
"""a beats b .9, b beats c .7, c beats a .8."""
FAST = Bootstrap(40)


@dataclass(frozen=True)
class Silent(Judge):
    """Has no verdict on some prompts."""

    prompts: tuple[str, ...]

    symmetric = True

    def compare(self, comparisons):
        return [None if c.prompt in self.prompts else 0.7 if c.first < c.second else 0.3 for c in comparisons]

    def identity(self):
        return {"name": "silent"}


def oracle(*prompts: str) -> Oracle:
    return Oracle(Matrix(dict.fromkeys(prompts, CYCLE), ["a", "b", "c"]))


def silent(*prompts: str, monkeypatch) -> Oracle:
    monkeypatch.setattr("comal.judges.asking.oracle.describe", lambda judge: judge.identity())
    return Oracle(Silent(prompts), max_failure_rate=1.0)


def test_win_rates_are_means_over_answers_and_then_over_prompts() -> None:
    """x: a, b against c: (.2 + .7)/2 = .45.  y: a against b, c: (.9 + .2)/2 = .55.  Mean .5."""
    play = cross_play(oracle("x", "y"), ["x", "y"], {"p": [["a", "b"], ["a"]], "q": [["c"], ["b", "c"]]}, FAST)
    assert play.rates[:, 0, 1] == pytest.approx([0.45, 0.55])
    assert play.matrix == pytest.approx(np.array([[0.5, 0.5], [0.5, 0.5]]))
    assert play.verdicts(0, 1) == Outcomes(wins=2, ties=0, losses=2, missing=0)
    assert play.verdicts(1, 0) == Outcomes(wins=2, ties=0, losses=2, missing=0)
    assert play.outcomes(0, 1) == Outcomes(wins=1, ties=0, losses=1, missing=0)
    assert play.stats.comparisons == 4


def test_ties_and_equal_answers_are_no_wins() -> None:
    play = cross_play(oracle("x", "y"), ["x", "y"], {"p": [["a"], ["a"]], "q": [["a"], ["b"]]}, FAST)
    assert play.outcomes(0, 1) == Outcomes(wins=1, ties=1, losses=0, missing=0)
    assert play.outcomes(0, 1).decided().value == 1.0


def test_a_missing_verdict_is_counted_and_never_a_number(monkeypatch) -> None:
    prompts = ["x", "y", "z"]
    answers = {"p": [["1"]] * 3, "q": [["2"]] * 3}
    play = cross_play(silent("y", monkeypatch=monkeypatch), prompts, answers, FAST)
    assert np.isnan(play.rates[1, 0, 1])
    assert play.matrix[0, 1] == pytest.approx(0.7)
    assert play.outcomes(0, 1) == Outcomes(wins=2, ties=0, losses=0, missing=1)
    nothing = cross_play(silent(*prompts, monkeypatch=monkeypatch), prompts, answers, FAST)
    assert np.isnan(nothing.matrix[0, 1])
    assert nothing.interval(0, 1).value is None
    with pytest.raises(DataError, match="p against q: the judge has no verdict on any prompt"):
        nothing.game()


def test_intervals_are_those_of_means_of_bounded_values() -> None:
    prompts = [str(i) for i in range(12)]
    rng = np.random.default_rng(0)
    answers = {name: [[str(rng.choice(["a", "b", "c"]))] for _ in prompts] for name in ("p", "q", "r")}
    play = cross_play(oracle(*prompts), prompts, answers, FAST)
    first = mean_interval(play.rates[:, 0, 1], SHARE)
    assert (play.low[0, 1], play.high[0, 1]) == pytest.approx(first)
    assert play.high[1, 0] == pytest.approx(1 - first[0]), "the mirror image"
    found = play.difference(1, 2, 0)
    paired = mean_interval(play.rates[:, 1, 0] - play.rates[:, 2, 0], DIFFERENCE)
    assert (found.low, found.high) == pytest.approx(paired)
    mean = play.mean_win_rate(0)
    assert (mean.low, mean.high) == pytest.approx(mean_interval(play.rates[:, 0, 1:].mean(axis=1), SHARE))


def test_prompts_that_all_agree_leave_room_for_those_that_would_not() -> None:
    """Four prompts, all won: no resample of them is lost, and a percentile bootstrap would be certain of 1."""
    play = constant(np.array([[0.5, 1.0, 1.0], [0.0, 0.5, 0.9], [0.0, 0.1, 0.5]]), 4)
    for shown in (play.interval(0, 1), play.interval(1, 2), play.mean_win_rate(0), play.mean_win_rate(1)):
        assert 0 <= shown.low <= shown.value <= shown.high <= 1
        assert shown.high - shown.low > 0.3
    gap = empirical_game(play).gap
    assert gap.high > 0.05, "on other prompts another mixture may be right"
    many = empirical_game(constant(np.array([[0.5, 1.0], [0.0, 0.5]]), 400))
    assert many.gap.high < 0.001


def test_resamples_are_those_of_prompts_for_many_of_them() -> None:
    rng = np.random.default_rng(0)
    rates = np.full((300, 2, 2), 0.5)
    rates[:, 0, 1] = rng.random(300)
    rates[:, 1, 0] = 1 - rates[:, 0, 1]
    found = Bootstrap(4000).rates(rates)
    assert (found[:, 0, 1] + found[:, 1, 0]) == pytest.approx(1)
    assert found[:, 0, 1].mean() == pytest.approx(rates[:, 0, 1].mean(), abs=0.003)
    assert found[:, 0, 1].std() == pytest.approx(rates[:, 0, 1].std() / np.sqrt(300), rel=0.1)


def constant(P, prompts):
    n = len(P)
    tables = {(i, j): [np.array([[P[i, j]]])] * prompts for i in range(n) for j in range(i + 1, n)}
    return from_tables("abc"[:n], [str(x) for x in range(prompts)], tables, Bootstrap(200))


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.permutations(range(4)))
def test_renaming_and_reordering_changes_nothing_else(seed, order) -> None:
    rng = np.random.default_rng(seed)
    prompts = [str(i) for i in range(5)]
    answers = {name: [[str(rng.choice(["a", "b", "c"]))] for _ in prompts] for name in "wxyz"}
    judge = oracle(*prompts)
    play = cross_play(judge, prompts, answers, FAST)
    assert np.abs(play.matrix + play.matrix.T - 1).max() < 1e-15
    assert play.low == pytest.approx(1 - play.high.T)
    names = ["wxyz"[i] for i in order]
    moved = cross_play(judge, prompts, {name: answers[name] for name in names}, FAST)
    at = np.ix_(order, order)
    assert moved.policies == tuple(names)
    assert moved.matrix == pytest.approx(play.matrix[at], abs=1e-12)
    assert moved.low == pytest.approx(play.low[at], abs=1e-12)
    assert moved.high == pytest.approx(play.high[at], abs=1e-12)
    for i, j in itertools.permutations(range(4), 2):
        assert moved.outcomes(i, j) == play.outcomes(order[i], order[j])


def test_kept_verdicts_make_the_same_cross_play() -> None:
    prompts, answers = ["x", "y"], {"p": [["a", "b"], ["a"]], "q": [["c"], ["b", "c"]]}
    play = cross_play(oracle("x", "y"), prompts, answers, FAST)
    again = from_tables(play.policies, prompts, play.tables, FAST)
    assert (again.matrix == play.matrix).all()
    assert (again.low == play.low).all()


def test_both_orders_are_asked_of_a_judge_that_is_not_symmetric() -> None:
    """It prefers what comes first, .9; both orders average to even."""

    class First(Matrix):
        symmetric = False

        def compare(self, comparisons: list[Comparison]):
            return [0.9] * len(comparisons)

    judge = First({"x": CYCLE}, ["a", "b", "c"])
    play = cross_play(Oracle(judge), ["x", "y"], {"p": [["a"], ["a"]], "q": [["b"], ["b"]]}, FAST)
    assert play.matrix[0, 1] == pytest.approx(0.5)
    assert play.stats.flip_rate == 1.0
    assert play.stats.position_bias == pytest.approx(0.4)


def test_what_cannot_play_is_refused() -> None:
    judge = oracle("x", "y")
    with pytest.raises(DataError, match="at least two policies, got 1"):
        cross_play(judge, ["x", "y"], {"p": [["a"], ["a"]]})
    with pytest.raises(DataError, match="at least two prompts, got 1"):
        cross_play(judge, ["x"], {"p": [["a"]], "q": [["a"]]})
    with pytest.raises(DataError, match="q: answers to 1 prompts where there are 2"):
        cross_play(judge, ["x", "y"], {"p": [["a"], ["a"]], "q": [["a"]]})
    with pytest.raises(DataError, match="q: no answer to prompt 2, 'y'"):
        cross_play(judge, ["x", "y"], {"p": [["a"], ["a"]], "q": [["a"], []]})
