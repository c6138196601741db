"""Asking a judge about answers: every pair, both presentation orders, as often as wanted, failures kept as such."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from comal.errors import DataError
from comal.evaluation.audit.verdicts import Floats, Row, Verdicts
from comal.judges.asking.oracle import Oracle
from comal.judges.base import Comparison, Judge
from comal.judges.kept.cache import SPEND_NAME
from comal.judges.population import Population
from comal.plugins import describe

_CHUNK = 256  # comparisons between two looks at the progress

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class AnswerSets:
    """Answers of several systems to the same prompts.

    Attributes:
        name: what to call them in messages.
        ids: of the prompts, unique.
        prompts: texts, as the judge is shown them.
        systems: names; empty where an answer's number means nothing beyond its prompt.
        owner: the system of each of a prompt's K answers; all 0 without systems.
        texts: K answers a prompt, None where a system has none.
    """

    name: str
    ids: tuple[str, ...]
    prompts: tuple[str, ...]
    systems: tuple[str, ...]
    owner: tuple[int, ...]
    texts: tuple[tuple[str | None, ...], ...]

    def require_pairs(self) -> None:
        """Raise DataError unless some prompt has two answers."""
        if max((sum(text is not None for text in group) for group in self.texts), default=0) < 2:
            systems = f" of {', '.join(self.systems)}" if self.systems else ""
            raise DataError(self.name, f"no prompt has two answers{systems} to be compared")

    @property
    def lengths(self) -> Floats:
        """Characters of each answer, shape (prompts, K), NaN where there is none."""
        return np.array([[np.nan if t is None else float(len(t)) for t in group] for group in self.texts])

    def first(self, count: int | None) -> AnswerSets:
        """Those of the first `count` prompts."""
        return AnswerSets(
            self.name, self.ids[:count], self.prompts[:count], self.systems, self.owner, self.texts[:count]
        )


@dataclass(frozen=True, slots=True)
class Asking:
    """How a judge is asked, and what its probabilities are.

    Attributes:
        repeats: how often each question is put.
        draws: how many sampled verdicts one of the judge's probabilities is the mean of.
        exact: as in `Verdicts`.
    """

    repeats: int = 1
    draws: int = 1
    exact: bool | None = None

    def __post_init__(self) -> None:
        if min(self.repeats, self.draws) < 1:
            raise ValueError(f"need one repeat and one draw or more, got {self.repeats} and {self.draws}")


def ask(
    judge: Judge,
    answers: AnswerSets,
    how: Asking = Asking(),
    cache_path: Path | None = None,
    spend_path: Path | None = None,
    progress: Progress | None = None,
) -> Verdicts:
    """The judge's verdicts on every pair of different answers to each prompt.

    A symmetric judge is asked one presentation order. Equal answers are a tie and not asked about. Failures are
    findings here: they are kept as rows without a verdict. The users of a population are asked one by one, too.

    Args:
        judge: whom to ask.
        answers: about what.
        how: to ask.
        cache_path: where verdicts of an expensive judge are kept, those of each repeat apart.
        spend_path: where a metered judge counts what it spends, repeats too; by default beside `cache_path`.
        progress: told how many comparisons are done, and of how many.

    Raises:
        DataError: no prompt has two answers.
        JudgeError: the judge cannot be asked at all.
    """
    answers.require_pairs()
    users = None if not isinstance(judge, Population) else _of_users(judge, answers, cache_path, spend_path)
    name = str(describe(judge)["name"])
    triples = _all_pairs(answers)
    questions: dict[Comparison, None] = {}
    for x, i, j in triples:
        first, second = _text(answers, x, i), _text(answers, x, j)
        if first != second:
            question = Comparison(answers.prompts[x], first, second)
            questions[question] = None
            if not judge.symmetric:
                questions[question.swapped()] = None
    # Of a symmetric judge the other order would be the same question again.
    asked = [q for q in questions if not (judge.symmetric and q.swapped() in questions and q.first > q.second)]
    if judge.symmetric and judge.expensive:
        # As a run asks and keeps them: in the other order they would be bought again.
        asked = [q.canonical() for q in asked]
    done, total = 0, len(asked) * how.repeats
    if spend_path is None and cache_path is not None:
        spend_path = cache_path.with_name(SPEND_NAME)
    rows: list[Row] = []
    reasons: Counter[str] = Counter()
    for repeat in range(how.repeats):
        oracle = Oracle(judge, cache_path, 1.0, spend_path=spend_path, repeat=repeat)
        answered: dict[Comparison, float] = {}
        for start in range(0, len(asked), _CHUNK):
            chunk = asked[start : start + _CHUNK]
            answered |= oracle.single_verdicts(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, total)
        reasons.update(oracle.reasons)
        for x, i, j in triples:
            question = Comparison(answers.prompts[x], _text(answers, x, i), _text(answers, x, j))
            if question.first == question.second:
                rows += [Row(x, i, j, 0.5)] if repeat == 0 else []
            elif judge.symmetric:
                rows.append(Row(x, i, j, _symmetric(question, answered), repeat=repeat))
            else:
                rows.append(Row(x, i, j, answered.get(question, np.nan), repeat=repeat))
                rows.append(Row(x, j, i, answered.get(question.swapped(), np.nan), repeat=repeat))
    return Verdicts(
        answers.name,
        answers.ids,
        answers.systems,
        answers.owner,
        (name,),
        tuple(rows),
        answers.lengths,
        how.exact,
        how.draws,
        dict(reasons.most_common()),
        users,
    )


def _of_users(
    population: Population, answers: AnswerSets, cache_path: Path | None, spend_path: Path | None
) -> Verdicts:
    """What each user says, once; where a user costs anything, the population's verdicts are made of those kept."""
    asked = [ask(user, answers, Asking(), cache_path, spend_path) for user in population.users]
    rows = tuple(replace(row, rater=number) for number, said in enumerate(asked) for row in said.rows)
    return replace(asked[0], raters=tuple(population.user_names), rows=rows, shares=tuple(population.shares))


def _all_pairs(answers: AnswerSets) -> list[tuple[int, int, int]]:
    return [
        (x, i, j)
        for x, group in enumerate(answers.texts)
        for i, j in combinations(range(len(group)), 2)
        if group[i] is not None and group[j] is not None
    ]


def _text(answers: AnswerSets, x: int, k: int) -> str:
    text = answers.texts[x][k]
    assert text is not None
    return text


def _symmetric(question: Comparison, answered: dict[Comparison, float]) -> float:
    if question in answered:
        return answered[question]
    return 1 - answered.get(question.swapped(), np.nan)
