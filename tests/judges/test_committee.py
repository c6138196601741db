import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comal.errors import ConfigError
from comal.judges.base import Comparison, Judge
from comal.judges.committee import Committee
from comal.plugins import JUDGES

QUESTION = Comparison("x", "a", "b")
probabilities = st.floats(0, 1)


@dataclass(frozen=True)
class Fixed(Judge):
    p: float | None

    def compare(self, comparisons):
        return [self.p] * len(comparisons)


def verdict(ps, weights=None, aggregate="majority"):
    return Committee(tuple(map(Fixed, ps)), weights, aggregate).compare([QUESTION])[0]


@given(probabilities, probabilities, probabilities)
def test_three_equal_members(p1, p2, p3):
    assert verdict([p1, p2, p3]) == pytest.approx(p1 * p2 + p1 * p3 + p2 * p3 - 2 * p1 * p2 * p3)


@given(
    st.lists(
        st.tuples(st.one_of(st.none(), probabilities), st.sampled_from([0.1, 0.2, 0.3, 1, 2])), min_size=1, max_size=6
    )
)
def test_the_majority_is_the_sum_over_all_votes(members):
    ps, weights = zip(*members, strict=True)
    present = [(p, round(10 * w)) for p, w in members if p is not None]
    expected = 0.0
    for votes in itertools.product([1, -1], repeat=len(present)):
        chance = np.prod([p if vote > 0 else 1 - p for vote, (p, _) in zip(votes, present, strict=True)])
        margin = sum(vote * w for vote, (_, w) in zip(votes, present, strict=True))
        expected += chance * (1.0 if margin > 0 else 0.5 if margin == 0 else 0.0)
    assert verdict(ps, weights) == (pytest.approx(expected) if present else None)


def test_drawn_votes_are_even_bets_also_with_decimal_weights():
    assert verdict([1.0, 0.0]) == 0.5
    assert verdict([1.0, 1.0, 0.0], (0.1, 0.2, 0.3)) == 0.5  # 0.1 + 0.2 is not 0.3 in floats


def test_who_has_no_verdict_abstains():
    assert verdict([0.9, None, 0.9]) == pytest.approx(0.9)
    assert verdict([None, 0.25, 0.75], (1, 3, 1), "mean") == pytest.approx(0.375)
    for aggregate in ("majority", "mean"):
        assert verdict([None, None], None, aggregate) is None


def test_a_majority_of_transitive_members_can_be_cyclic():
    rankings = ["command", "description", "label"]
    members = [{"name": "docstring_style", "ranking": rankings[i:] + rankings[:i]} for i in range(3)]
    judge = JUDGES.build({"name": "committee", "members": members}, "judge")
    answers = ["Return it.", "Returns it.", "The result."]
    cycle = [Comparison("x", answers[i], answers[(i + 1) % 3]) for i in range(3)]
    assert min(judge.compare(cycle)) > 0.7
    assert judge.symmetric
    assert not judge.expensive


def test_a_committee_s_fingerprint_follows_its_members():
    assert Committee((Fixed(0.1), Fixed(0.2))).fingerprint() != Committee((Fixed(0.1), Fixed(0.3))).fingerprint()


def test_bad_settings():
    for settings in ({"members": []}, {"members": ["matrix"]}, {"members": [], "aggregate": "max"}):
        with pytest.raises(ConfigError):
            JUDGES.build({"name": "committee"} | settings, "judge")
    for weights in ((1.0,), (1.0, -1.0), (1.0, float("nan"))):
        with pytest.raises(ValueError, match="weights"):
            Committee((Fixed(0.1), Fixed(0.2)), weights)
