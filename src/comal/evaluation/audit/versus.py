"""Two judges on the same questions: whether one flips, goes round or disagrees with people more often than the other.

Each thing that both judges could do (a pair whose winner follows the order, a triple that goes round, a question on
which people decided) is looked at in both, and only where they differ does it tell them apart: McNemar's test (1947).
Triples share edges and pairs share prompts, so the units are prompts: if the judges were alike, the difference of a
prompt's counts would be as likely with either sign. The p-value is exact over all signs; with one thing a prompt it is
McNemar's exact one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from comal.errors import DataError
from comal.evaluation.audit.agreement import labels
from comal.evaluation.audit.verdicts import Verdicts

Events = Mapping[tuple[str, tuple[object, ...]], bool]
"""By prompt and object: whether it happened."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that two judges do more or less often.

    Attributes:
        what: in words.
        objects: on which both could do it.
        prompts: that these are about.
        first, second: share of the objects on which each did it.
        only_first, only_second: objects on which one did it and the other did not.
        p_value: two-sided, that both do it as often.
    """

    what: str
    objects: int
    prompts: int
    first: float
    second: float
    only_first: int
    only_second: int
    p_value: float


def compare_judges(first: Verdicts, second: Verdicts, people: Verdicts | None = None) -> tuple[Difference, ...]:
    """The differences that can be tested: flips, cycles and, with people's verdicts, disagreement with them.

    Raises:
        DataError: the two have no question in common.
    """
    if not set(first.prompts) & set(second.prompts):
        raise DataError(first.name, f"shares no prompt with {second.name}; nothing can be compared")
    found = [
        difference("winner flips with the order", _flips(first), _flips(second)),
        difference("triples of answers that go round", _cycles(first), _cycles(second)),
    ]
    if people is not None:
        found.append(difference("winner is not people's", _wrong(first, people), _wrong(second, people)))
    return tuple(one for one in found if one is not None)


def difference(what: str, first: Events, second: Events) -> Difference | None:
    """Compare where both could do it; None where that is nowhere."""
    shared = [key for key in first if key in second]
    if not shared:
        return None
    by_prompt: dict[str, int] = defaultdict(int)
    only_first = only_second = 0
    for key in shared:
        by_prompt[key[0]] += int(first[key]) - int(second[key])
        only_first += first[key] and not second[key]
        only_second += second[key] and not first[key]
    return Difference(
        what, len(shared), len(by_prompt), float(np.mean([first[key] for key in shared])),
        float(np.mean([second[key] for key in shared])), only_first, only_second, sign_flip_p(by_prompt.values()),
    )  # fmt: skip


def sign_flip_p(differences: Iterable[int]) -> float:
    """How often a sum of these numbers with signs drawn at random is as far from 0 as with their own; exact."""
    given = list(differences)
    sizes = [abs(d) for d in given if d]
    total, reach = abs(sum(given)), sum(sizes)
    if not total:
        return 1.0
    chances = np.zeros(2 * reach + 1)
    chances[reach] = 1.0
    for size in sizes:
        chances = (np.roll(chances, size) + np.roll(chances, -size)) / 2  # never round the end: it reaches that far
    far = np.abs(np.arange(-reach, reach + 1)) >= total
    return float(min(1.0, chances[far].sum()))


def _flips(verdicts: Verdicts) -> Events:
    found: dict[tuple[str, tuple[object, ...]], bool] = {}
    for (x, i, j), rows in verdicts.grouped().items():
        forth = [r.probability for r in rows if r.first == i and np.isfinite(r.probability)]
        back = [1 - r.probability for r in rows if r.first == j and np.isfinite(r.probability)]
        if forth and back:
            a, b = float(np.mean(forth)) - 0.5, float(np.mean(back)) - 0.5
            found[verdicts.prompts[x], (i, j)] = a * b < 0
    return found


def _cycles(verdicts: Verdicts) -> Events:
    found: dict[tuple[str, tuple[object, ...]], bool] = {}
    for x, P in enumerate(verdicts.tables()):
        for i, j, k in combinations(range(len(P)), 3):
            edges = np.array([P[i, j], P[j, k], P[k, i]])
            if np.isfinite(edges).all() and (edges != 0.5).all():  # a tie decides nothing
                found[verdicts.prompts[x], (i, j, k)] = bool((edges > 0.5).all() or (edges < 0.5).all())
    return found


def _wrong(verdicts: Verdicts, people: Verdicts) -> Events:
    wanted = labels(people)
    given = labels(verdicts)
    return {
        (question[0], question[1:]): given[question] != label
        for question, label in wanted.items()
        if label and given.get(question) is not None
    }
