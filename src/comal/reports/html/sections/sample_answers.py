"""Answers of the starting policy and of every method to the same prompts, side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from comal.evaluation.exploitability.scoreboard import START
from comal.reports.html.run_data import RunData

_BUDGET = 700_000
"""Letters of all samples together: with the rest of the page they stay below 1.5 MB."""
_LEAST, _MOST = 200, 4000


@dataclass(frozen=True, slots=True)
class SampleAnswer:
    """One policy's answer.

    Attributes:
        label: its class, where the recipe has classes.
        as_start: whether it is the starting policy's answer, letter by letter.
    """

    policy: str
    text: str
    label: str
    as_start: bool


@dataclass(frozen=True, slots=True)
class SampleAnswers:
    """A prompt and its answers, each shortened where it would make the page too large."""

    prompt: str
    answers: tuple[SampleAnswer, ...]


def sample_answers(run: RunData, classify: Callable[[str], str] | None) -> list[SampleAnswers]:
    """The examples that result.json keeps; none before the final evaluation."""
    if run.result is None:
        return []
    found = run.result.examples
    texts = sum(1 + len(example.answers) for example in found)
    limit = min(_MOST, max(_LEAST, _BUDGET // max(texts, 1)))
    return [
        SampleAnswers(
            cut(example.prompt, limit),
            tuple(
                SampleAnswer(
                    name,
                    cut(answer, limit),
                    classify(answer) if classify is not None else "",
                    name != START and answer == example.answers.get(START),
                )
                for name, answer in example.answers.items()
            ),
        )
        for example in found
    ]


def cut(text: str, limit: int) -> str:
    """The beginning of a long text, saying how much is left out.

    >>> cut("abcdef", 4)
    'abcd… (2 more characters)'
    """
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit:,} more characters)"
