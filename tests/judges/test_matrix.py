import numpy as np
import pytest

from comal.errors import JudgeError
from comal.judges.base import Comparison
from comal.judges.matrix import Matrix

P = np.array([[0.5, 0.1], [0.9, 0.5]])


def test_verdicts_are_the_entries_and_unlisted_answers_lose():
    judge = Matrix({"x": P, "y": P.T}, {"x": ["a", "b"], "y": ["c", "d"]})
    asked = [("x", "a", "b"), ("y", " c", "d\n"), ("x", "a", "?"), ("x", "?", "a"), ("x", "?", "!"), ("x", "a", "a")]
    assert judge.compare([Comparison(*q) for q in asked]) == [0.1, 0.9, 1.0, 0.0, 0.5, 0.5]


def test_a_prompt_without_a_game_is_an_error():
    with pytest.raises(JudgeError, match="no game for the prompt 'z'"):
        Matrix({"x": P}, ["a", "b"]).compare([Comparison("z", "a", "b")])


@pytest.mark.parametrize(
    ("matrix", "answers"),
    [
        (P[:1], ["a", "b"]),
        (P + 0.1, ["a", "b"]),
        (P * np.nan, ["a", "b"]),
        (P, ["a"]),
        (P, ["a", "a"]),
        (P, {"y": ["a", "b"]}),
    ],
)
def test_bad_games(matrix, answers):
    with pytest.raises(ValueError, match=r"games|answers"):
        Matrix({"x": matrix}, answers)
