"""Agreement with people: accuracy and Cohen's kappa, with intervals over prompts.

    kappa = (a − e) / (1 − e)     a = observed agreement, e = agreement of two raters with these marginals by chance

Cohen 1960, "A coefficient of agreement for nominal scales". The three labels are: first wins, tie, second wins. All
three figures are ratios of sums over prompts; their intervals are those of `comal.evaluation.estimates` for the mean of
the jackknife's pseudo-values (Tukey 1958), one a prompt.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from comal.evaluation.audit.verdicts import Floats, Row, Verdicts, balanced
from comal.evaluation.estimates import SHARE, Bounds, Estimate, pooled_interval

Question = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two raters of the same pairs agree.

    Attributes:
        rater, reference: who, and with whom.
        pairs: judged by both.
        unjudged: pairs that the reference judged and the rater has no verdict on; they are in none of the figures.
        accuracy: share of equal labels.
        kappa: beyond chance; None where chance agrees always (both give one and the same label only).
        decided_accuracy: accuracy over the pairs on which neither says tie; None without any.
    """

    rater: str
    reference: str
    pairs: int
    unjudged: int
    accuracy: Estimate
    kappa: Estimate | None
    decided_accuracy: Estimate | None


def labels(verdicts: Verdicts) -> dict[Question, int | None]:
    """+1, 0 or −1 for each prompt and pair: first (by name) wins, tie, second wins; None without any verdict.

    Of several raters the label that most of them give; 0 where no label has most.
    """
    names = verdicts.systems if len(verdicts.systems) == len(verdicts.owner) else None
    found: dict[Question, int | None] = {}
    for (x, i, j), rows in verdicts.grouped().items():
        a, b = (names[i], names[j]) if names else (f"{i:06d}", f"{j:06d}")
        by_rater: dict[int, list[Row]] = {}
        for row in rows:
            by_rater.setdefault(row.rater, []).append(row)
        means = [mean for of_rater in by_rater.values() if math.isfinite(mean := balanced(of_rater))]
        votes = Counter(int(np.sign(round(mean - 0.5, 12))) for mean in means).most_common()
        label = None if not votes else 0 if len(votes) > 1 and votes[0][1] == votes[1][1] else votes[0][0]
        found[(verdicts.prompts[x], min(a, b), max(a, b))] = label if label is None or a < b else -label
    return found


def agreement(
    rater: str,
    given: Mapping[Question, int | None],
    reference: str,
    wanted: Mapping[Question, int | None],
) -> Agreement | None:
    """Compare two sets of labels on the questions both were asked; None where there is no such question.

    Args:
        rater: a name for `given`.
        given: labels of the audited.
        reference: a name for `wanted`.
        wanted: labels of the reference, people as a rule.
    """
    asked = [q for q, label in wanted.items() if label is not None and q in given]
    both = [q for q in asked if given[q] is not None]
    if not both:
        return None
    mine = np.array([given[q] for q in both], dtype=np.int64)
    theirs = np.array([wanted[q] for q in both], dtype=np.int64)
    prompts = sorted({q[0] for q in both})
    index = {prompt: number for number, prompt in enumerate(prompts)}
    confusion = np.zeros((len(prompts), 3, 3))
    np.add.at(confusion, (np.array([index[q[0]] for q in both]), mine + 1, theirs + 1), 1.0)
    kappa, decided = _figure(confusion, _kappa, (-1.0, 1.0)), _figure(confusion, _decided, SHARE)
    accuracy = _figure(confusion, _accuracy, SHARE)
    assert accuracy is not None
    return Agreement(rater, reference, len(both), len(asked) - len(both), accuracy, kappa, decided)


def _figure(confusion: Floats, of: Callable[[Floats], Floats], bounds: Bounds) -> Estimate | None:
    """A figure of the tables' sum with its interval, from one table a prompt; None where it is not defined."""
    total = confusion.sum(axis=0)
    value = float(of(total[None])[0])
    if np.isnan(value):
        return None
    n = len(confusion)
    without = of(total - confusion) if n > 1 else np.array([value])
    # A prompt without which the figure is not defined is taken to have none but the figure's own value.
    pseudo = n * value - (n - 1) * np.where(np.isfinite(without), without, value)
    low, high = pooled_interval(pseudo + value - pseudo.mean(), bounds)
    return Estimate(value, low, high, n, 0)


def _accuracy(tables: Floats) -> Floats:
    return _divide(np.trace(tables, axis1=1, axis2=2), tables.sum(axis=(1, 2)))


def _kappa(tables: Floats) -> Floats:
    shares = tables / np.maximum(tables.sum(axis=(1, 2), keepdims=True), 1)
    observed = np.trace(shares, axis1=1, axis2=2)
    chance = (shares.sum(axis=1) * shares.sum(axis=2)).sum(axis=1)
    return _divide(observed - chance, 1 - chance)


def _decided(tables: Floats) -> Floats:
    corners = tables[:, ::2, ::2]
    return _divide(np.trace(corners, axis1=1, axis2=2), corners.sum(axis=(1, 2)))


def _divide(above: Floats, below: Floats) -> Floats:
    defined: NDArray[np.bool_] = below > 1e-12
    return np.where(defined, above / np.where(defined, below, 1.0), np.nan)
