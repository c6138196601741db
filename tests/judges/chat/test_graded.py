"""Templates with more than two words: verdicts are means over all grades, and roles show the answers."""

from __future__ import annotations

import json

import pytest

from comal.errors import JudgeError
from comal.judges.base import Comparison
from comal.judges.openai import OpenAI
from comal.judges.pairwise_lm import PairwiseLM
from comal.judges.words.labels import first_token_grade, voted_grade
from comal.judges.words.templates import READY
from openai_judge import judge, said
from scripted_server import completion, serving

pytestmark = pytest.mark.usefixtures("nothing_known_nor_spent")
ASKED = Comparison("Greet.", "Hi", "Hello there")
FIVE = dict(READY["graded"].grades)
RANKS = dict(READY["genrm"].grades)


def test_a_verdict_is_the_mean_over_all_grades():
    """(0.5·1 + 0.2·0.75 + 0.1·0.25) / 0.8"""
    from math import log

    top = [("1", log(0.5)), ("2", log(0.2)), (" 4", log(0.1)), ("The", log(0.2))]
    assert first_token_grade(top, FIVE, 0.5) == pytest.approx(0.675 / 0.8)
    assert first_token_grade(top, FIVE, 0.9) is None


@pytest.mark.parametrize("name", ["ties", "graded", "genrm"])
def test_grades_are_fair(name):
    """Each has its mirror image, so that exchanging the answers of a fair judge turns P into 1 − P."""
    values = sorted(value for _, value in READY[name].grades)
    assert values == pytest.approx([1 - value for value in reversed(values)])


@pytest.mark.parametrize(
    ("reply", "grade"),
    [
        ('{"score_1": 4, "score_2": 3, "ranking": 2}', 0.8),
        ('Reasons {with braces}.\n```json\n{"score_1": 1, "score_2": 5, "ranking": 6}\n```', 0.0),
        ('<think>{"ranking": 1}</think>{"ranking": 3}', 0.6),
        ('{"ranking": 3.5}', None),
        ('{"ranking": true}', None),
        ('{"ranking": "two"}', None),
        ('{"score_1": 4}', None),
        ('{"ranking": 2} or so', None),
        ("2", None),
        ("", None),
    ],
)
def test_a_ranking_in_json_is_read_strictly(reply, grade):
    assert voted_grade(reply, RANKS, None, "ranking") == grade


def test_five_grades_by_log_probs():
    with serving(lambda *_: completion("2", {"1": 0.3, "2": 0.6, "5": 0.1})) as server:
        verdicts, error = said(judge(server, template="graded"), [ASKED])
    assert error is None
    assert verdicts[ASKED].probability == pytest.approx(0.3 + 0.45)


def test_ties_by_votes():
    replies = iter("ACCB")
    with serving(lambda *_: completion(next(replies))) as server:
        verdicts, _ = said(judge(server, template="ties", verdict="samples", samples=4, concurrency=1), [ASKED])
    assert verdicts[ASKED].probability == pytest.approx(0.5)


def test_a_generative_reward_model_is_shown_the_answers_by_its_roles():
    with serving(lambda *_: completion(json.dumps({"score_1": 2, "score_2": 5, "ranking": 5}))) as server:
        verdicts, _ = said(judge(server, template="genrm", samples=1), [ASKED])
        body = server.requests[0]
    assert verdicts[ASKED].probability == pytest.approx(0.2)
    assert body["messages"] == [
        {"role": "user", "content": "Greet."},
        {"role": "response_1", "content": "Hi"},
        {"role": "response_2", "content": "Hello there"},
    ]
    assert "logprobs" not in body, "the grade is in no first token"


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(JudgeError, match="labels: `graded` has words of its own"):
        OpenAI("m", template="graded", labels=("X", "Y")).check()
    with pytest.raises(JudgeError, match="no label as its first token"):
        OpenAI("m", template="genrm", verdict="logprobs").check()
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(JudgeError, match="`genrm` asks for a reply in JSON, and this judge reads the next token"):
        PairwiseLM(str(tmp_path), template="genrm").check()


def test_templates_of_two_labels_keep_their_verdicts():
    """Their fingerprints have nothing of grades in them, so what was paid for before is found again."""
    assert set(OpenAI("m", template="careful").identity()) == set(OpenAI("m").identity())
    assert "grades" not in OpenAI("m").identity()
    assert "grades" in OpenAI("m", template="ties").identity()
    assert not {"grades", "field", "roles"} & set(PairwiseLM("m/m").identity())
