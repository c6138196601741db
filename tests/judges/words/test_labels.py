"""Which label a reply names: by its first token's log-probabilities, or by its words."""

from __future__ import annotations

import json
from math import log
from typing import Any

import pytest

from comal.judges.chat.api import read_reply
from comal.judges.words.labels import first_token_grade, voted_grade

LABELS = {"A": 1.0, "B": 0.0}


def reply(*alternatives: tuple[str, float]) -> bytes:
    entries = [{"token": token, "logprob": log(p)} for token, p in alternatives]
    choice: dict[str, Any] = {
        "message": {"content": "B"},
        "logprobs": {"content": [entries[0] | {"top_logprobs": entries}]},
    }
    return json.dumps({"choices": [choice]}).encode()


@pytest.mark.parametrize(
    ("alternatives", "truth"),
    [
        ([("B", 0.539), ("A", 0.449), ("A", 0.001), ("C", 0.0005), ("B", 0.0003)], 0.450 / 0.9893),
        ([(" B", 0.54), (" A", 0.449), ("The", 0.004), ("A", 0.001)], 0.450 / 0.990),
        ([("▁A", 0.6), ("A", 0.2), ("▁B", 0.1)], 0.8 / 0.9),
        ([("A", 0.6), ("A", 0.6), ("B", 0.3)], 0.6 / 0.9),
    ],
    ids=["one text for two tokens", "spaces", "marks", "an entry sent twice"],
)
def test_probabilities_of_all_spellings_of_a_label_add_up(alternatives: list[tuple[str, float]], truth: float) -> None:
    sent = read_reply(reply(*alternatives)).choices[0].first_token
    assert sent is not None
    assert first_token_grade(sent, LABELS, 0.5) == pytest.approx(truth)


@pytest.mark.parametrize(
    "numbers",
    [[("A", 0.8), ("B", 0.15)], [("A", 80.0), ("B", 15.0)], [("A", -0.1), ("B", -0.2)], [("A", float("nan"))]],
)
def test_numbers_that_are_no_log_probabilities_are_no_verdict(numbers: list[tuple[str, float]]) -> None:
    assert first_token_grade(numbers, LABELS, 0.5) is None


@pytest.mark.parametrize(
    ("said", "last_line", "grade"),
    [
        ("A", None, 1.0),
        ("The first is short.\n</think>\n\nA", None, 1.0),
        ("<think>B?</think>\nA", None, 1.0),
        ("<think>Hmm, A or B? A is", None, None),
        ("Verdict: B would be hasty.\n</think>\n\nBetter.\n\nVerdict: A", "Verdict:", 1.0),
        ("<think>I think\nVerdict: A", "Verdict:", None),
        ("Let me see.\n</think>", None, None),
        ("B\n</think>\n", None, None),
        ("A </think> B", None, 0.0),
        ("</think>B", None, 0.0),
        ("<think>a</think>b</think>A", None, None),
    ],
)
def test_a_reply_is_what_comes_after_the_thoughts(said: str, last_line: str | None, grade: float | None) -> None:
    assert voted_grade(said, LABELS, last_line) == grade
