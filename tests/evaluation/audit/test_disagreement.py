import math
from pathlib import Path

import pytest

from comal.evaluation.audit.asking import AnswerSets, ask
from comal.evaluation.audit.audit import audit_verdicts
from comal.evaluation.audit.quality.disagreement import user_disagreement
from comal.evaluation.audit.result import AuditResult
from comal.judges.asking.oracle import Oracle
from comal.judges.base import Comparison
from comal.judges.population import Population
from comal.plugins import JUDGES


def user(measure, prefer, sharpness=math.inf):
    rules = [{"measure": measure, "prefer": prefer}]
    return JUDGES.build({"name": "rules", "sharpness": sharpness, "rules": rules}, "user")


LONGER, SHORTER, INDIFFERENT = user("characters", "more"), user("characters", "less"), user("lines", "more")
ANSWERS = AnswerSets("answers", ("p", "q"), ("p", "q"), (), (0, 0, 0), (("a", "bb", "ccc"), ("d", "ee", "ff")))


@pytest.mark.parametrize(
    ("members", "weights", "minority"),
    [
        ((LONGER, SHORTER), (3, 1), (0.25 + 0.25 * 2 / 3) / 2),  # `ee` and `ff` are alike to both
        ((LONGER, SHORTER), (1, 1), (0.5 + 0.5 * 2 / 3) / 2),
        ((LONGER, LONGER), None, 0.0),
        ((LONGER, INDIFFERENT), None, 0.0),
        ((INDIFFERENT, INDIFFERENT), None, 0.0),
    ],
)
def test_the_minority_would_rather_have_the_other_answer(members, weights, minority):
    verdicts = ask(Population(members, weights=weights), ANSWERS)
    found = audit_verdicts(verdicts).users
    assert found is not None
    assert found.minority.mean == pytest.approx(minority)
    assert (found.users, found.pairs) == (("user 1", "user 2"), 6)


def test_every_two_users_are_compared():
    found = audit_verdicts(ask(Population((LONGER, SHORTER, INDIFFERENT)), ANSWERS)).users
    assert found is not None
    assert [(one.rater, one.reference) for one in found.agreement] == [
        ("user 1", "user 2"), ("user 1", "user 3"), ("user 2", "user 3"),
    ]  # fmt: skip
    opposed = found.agreement[0]
    assert opposed.decided_accuracy is not None
    assert opposed.decided_accuracy.mean == 0.0


def test_the_populations_own_figures_are_those_of_its_mean():
    population = Population((LONGER, SHORTER), weights=(3, 1))
    verdicts = ask(population, ANSWERS)
    assert verdicts.raters == ("population",)
    first = Oracle(population).win_probabilities([Comparison("p", "a", "bb")])[0]
    assert verdicts.rows[0].probability == first == pytest.approx(0.25)


def test_other_judges_have_no_users_and_older_audits_are_read():
    result = audit_verdicts(ask(LONGER, ANSWERS))
    plain = result.to_json()
    assert "users" not in plain
    assert AuditResult.from_json(plain, "audit.json").users is None
    of_users = audit_verdicts(ask(Population((LONGER, SHORTER)), ANSWERS))
    assert AuditResult.from_json(of_users.to_json(), "audit.json").users == of_users.users


def test_pairs_that_a_user_has_no_verdict_on_are_left_out(tmp_path: Path):
    file = tmp_path / "people.csv"
    file.write_text("prompt,first,second,ada\np,a,bb,first\n", encoding="utf-8")
    ada = JUDGES.build({"name": "people", "file": str(file), "person": "ada"}, "user")
    verdicts = ask(Population((LONGER, ada)), ANSWERS)
    assert verdicts.users is not None
    found = user_disagreement(verdicts.users)
    assert found is not None
    assert (found.pairs, found.minority.mean) == (1, 0.5)
