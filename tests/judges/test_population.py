from dataclasses import dataclass, field, replace

import pytest

from comal.errors import ConfigError, JudgeError
from comal.judges.base import Comparison, Judge, Records
from comal.judges.committee import Committee
from comal.judges.openai import OpenAI
from comal.judges.population import Population
from comal.plugins import JUDGES

QUESTION = Comparison("x", "a", "b")
READER = {"name": "openai", "model": "m", "base_url": "http://localhost:1/v1"}
ADA = {"name": "rules", "rules": [{"measure": "words"}]}


@dataclass(frozen=True)
class Fixed(Judge):
    p: float | None

    def compare(self, comparisons):
        return [self.p] * len(comparisons)


@dataclass(frozen=True)
class Counted(Judge):
    """Prefers what comes first in the alphabet, and remembers what it was asked; `name` tells two of them apart."""

    name: str
    symmetric: bool = True
    asked: list[Comparison] = field(default_factory=list, compare=False)

    def identity(self):
        return {"name": self.name}

    def compare(self, comparisons):
        self.asked.extend(comparisons)
        return [0.9 if c.first < c.second else 0.1 for c in comparisons]


def verdict(ps, weights=None, choice="luce"):
    return Population(tuple(map(Fixed, ps)), weights=weights, choice=choice).compare([QUESTION])[0]


def test_two_answers_are_compared_by_the_mean_over_users():
    assert verdict([0.9, 0.2, 0.4]) == pytest.approx(0.5)
    assert verdict([0.9, 0.2], (3, 1)) == pytest.approx(0.725)
    members = (Fixed(0.9), Fixed(0.2))
    assert Population(members, weights=(3, 1)).compare([QUESTION]) == pytest.approx(
        Committee(members, (3, 1), "mean").compare([QUESTION])
    )


def test_users_who_rank_prefer_what_is_more_likely():
    assert verdict([0.9, 0.2, 0.4], choice="ranked") == pytest.approx(1 / 3)
    assert verdict([0.51, 0.5], choice="ranked") == pytest.approx(0.75)


def test_without_one_users_verdict_there_is_none_for_the_population():
    assert verdict([0.9, None, 0.4]) is None
    parts = list(Population((Fixed(0.9), Fixed(None))).compare_in_parts([QUESTION]))
    assert [said.probability for part in parts for said in part] == [None]


def test_a_persona_comes_before_what_the_reader_is_told_anyway():
    plain, told, careful = (
        JUDGES.build(
            {"name": "population", "reader": READER | more, "personas": ["You are a nurse.", "You cook."]}, "judge"
        )
        for more in ({}, {"system_prompt": "Be fair."}, {"template": "careful"})
    )
    assert [user.system_prompt for user in plain.users] == ["You are a nurse.", "You cook."]
    assert plain.users[0] == replace(OpenAI("m", "http://localhost:1/v1"), system_prompt="You are a nurse.")
    assert told.users[1].system_prompt == "You cook.\n\nBe fair."
    assert careful.users[0].system_prompt.startswith("You are a nurse.\n\nYou compare answers")
    assert len({user.fingerprint() for user in (*plain.users, *told.users, *careful.users)}) == 6


def test_names_change_no_verdict_and_a_share_does():
    one, named, other = (
        Population((Fixed(0.9), Fixed(0.2)), **more)
        for more in ({}, {"names": ("ada", "grace")}, {"weights": (2.0, 1.0)})
    )
    assert one.fingerprint() == named.fingerprint() != other.fingerprint()
    assert one.user_names == ("user 1", "user 2")
    assert other.shares == pytest.approx((2 / 3, 1 / 3))


def test_each_users_verdicts_are_kept_and_a_symmetric_user_is_asked_in_one_order(tmp_path):
    ada, grace = Counted("ada"), Counted("grace", symmetric=False)
    population = Population((ada, grace))
    assert not population.symmetric
    records = Records(tmp_path / "verdicts.sqlite")
    for _ in range(2):
        parts = list(population.compare_in_parts([QUESTION, QUESTION.swapped()], records))
        assert [said.probability for part in parts for said in part] == pytest.approx([0.9, 0.1])
    assert ada.asked == [QUESTION]
    assert grace.asked == [QUESTION, QUESTION.swapped()]
    again = Population((ada, Counted("alan")))
    list(again.compare_in_parts([QUESTION], records))
    assert ada.asked == [QUESTION], "a user whom two populations share is asked once"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "give either `members`"),
        ({"members": [ADA], "reader": READER, "personas": ["a"]}, "not both"),
        ({"reader": READER}, "a reader needs personas"),
        ({"members": [ADA], "personas": ["a"]}, "need a `reader`"),
        ({"reader": READER, "personas": ["a", "a"]}, "need different ones"),
        ({"reader": READER, "personas": ["a", " "]}, "none empty"),
        ({"reader": ADA, "personas": ["a"]}, "`rules` takes no persona; use `openai`"),
        ({"members": [ADA], "weights": [1, 2]}, "need one for each of 1 members, got 2"),
        ({"members": [ADA, ADA], "weights": [1, 0]}, "weights: need positive numbers"),
        ({"members": [ADA, ADA], "names": ["a", "a"]}, "a different one for each of 2 users"),
        ({"members": [ADA], "names": []}, "a different one for each of 1 users"),
        ({"members": [ADA], "choice": "best"}, "choice"),
        ({"members": [{"name": "rule"}]}, "Did you mean `rules`"),
        ({"members": [ADA], "aggregate": "mean"}, "`population` has no such option"),
    ],
)
def test_settings_that_make_no_population_are_named(options, told):
    with pytest.raises(ConfigError) as caught:
        JUDGES.build({"name": "population"} | options, "judge")
    assert told in str(caught.value)


def test_who_cannot_be_asked_is_named():
    spec = {"name": "population", "members": [ADA, {"name": "reward_model", "models": ["./absent"]}]}
    with pytest.raises(JudgeError, match=r"user 2.*absent"):
        JUDGES.build(spec, "judge").check()
