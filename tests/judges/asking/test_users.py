import hashlib
import itertools
from dataclasses import dataclass

import numpy as np
import pytest

from comal.errors import JudgeError
from comal.judges.asking.oracle import Oracle
from comal.judges.asking.users import Users, decided
from comal.judges.base import Comparison, Judge
from comal.judges.population import Population

PROMPTS, ANSWERS = ["p", "q"], [["a", "b", "c"], ["a", "d", "d"]]
OPPONENTS = [["a", "x"], ["d", "y"]]


@dataclass(frozen=True)
class Biased(Judge):
    """As good as random, and in favour of what is presented first; silent on one prompt, where one is named."""

    name: str
    silent_on: str = ""

    def compare(self, comparisons):
        return [None if c.prompt == self.silent_on else self.verdict(c.prompt, c.first, c.second) for c in comparisons]

    def verdict(self, *texts):
        drawn = hashlib.sha256("\0".join((self.name, *texts)).encode()).digest()[0] / 255
        return 0.2 + 0.8 * drawn


def population(choice):
    return Population((Biased("ada"), Biased("grace"), Biased("alan")), weights=(2, 1, 1), choice=choice)


@pytest.mark.parametrize("choice", ["luce", "ranked"])
def test_the_users_mean_is_what_the_population_says_of_pairs(choice):
    users, oracle = Users(population(choice)), Oracle(population(choice))
    for prompt, answers, table in zip(PROMPTS, ANSWERS, users.all_pairs(PROMPTS, ANSWERS), strict=True):
        assert table.shape == (3, 3, 3)
        pairs = list(itertools.product(range(3), repeat=2))
        said = oracle.win_probabilities([Comparison(prompt, answers[i], answers[j]) for i, j in pairs])
        assert [users.shares @ table[:, i, j] for i, j in pairs] == pytest.approx(said)
    crossed = users.cross(PROMPTS, ANSWERS, OPPONENTS)
    assert [table.shape for table in crossed] == [(3, 3, 2), (3, 3, 2)]


def test_a_ranking_user_whose_orders_name_different_winners_has_a_tie():
    users = Users(population("ranked"))
    tables = np.stack(users.all_pairs(PROMPTS, ANSWERS))
    assert set(np.unique(tables)) <= {0.0, 0.5, 1.0}
    ada = Biased("ada")
    for x, (i, j) in itertools.product(range(2), itertools.combinations(range(3), 2)):
        first, second = ANSWERS[x][i], ANSWERS[x][j]
        if first != second:
            forth, back = (ada.verdict(PROMPTS[x], *pair) > 0.5 for pair in ((first, second), (second, first)))
            assert tables[x, 0, i, j] == (0.5 if forth == back else float(forth))


def test_all_users_count():
    users = Users(population("luce"))
    with users.counted():
        users.all_pairs(PROMPTS, ANSWERS)
        counted = users.stats
    # Three pairs and two different ones (`d` is there twice), two orders, three users.
    assert (counted.questions, counted.judge_calls) == (3 * (3 + 1), 2 * 3 * (3 + 1))
    assert users.stats == counted


def test_a_user_who_has_no_verdicts_is_named_and_a_few_missing_ones_are_none():
    silent = Population((Biased("ada"), Biased("grace", silent_on="q")), names=("ada", "grace"))
    with pytest.raises(JudgeError, match=r"grace: .*no verdict on 1 of 4 questions"):
        Users(silent).all_pairs(PROMPTS, ANSWERS)
    ada, grace = np.stack(Users(silent, max_failure_rate=0.5).all_pairs(PROMPTS, ANSWERS), axis=1)
    assert np.isfinite(ada).all()
    assert np.isnan(grace[1]).any()
    assert np.isfinite(grace[0]).all()


def test_decided():
    np.testing.assert_array_equal(decided([0.0, 0.49, 0.5, 0.51, 1.0, np.nan]), [0, 0, 0.5, 1, 1, np.nan])
