"""The whole audit of verdicts, or of a table of win rates or counts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from comal.errors import DataError
from comal.evaluation.audit.advice import conclude
from comal.evaluation.audit.agreement import Agreement, agreement, labels
from comal.evaluation.audit.bounded import bounded_estimate, prompt_means
from comal.evaluation.audit.length import length_bias
from comal.evaluation.audit.pairwise import Pairwise
from comal.evaluation.audit.prompt_cycles import prompt_cycles
from comal.evaluation.audit.quality.consistency import self_consistency
from comal.evaluation.audit.quality.disagreement import user_disagreement
from comal.evaluation.audit.quality.information import information
from comal.evaluation.audit.quality.position import position_bias
from comal.evaluation.audit.quality.usability import Evidence
from comal.evaluation.audit.result import AuditResult
from comal.evaluation.audit.structure import structure
from comal.evaluation.audit.verdicts import Verdicts

_MOST_RATERS = 8  # of whom every two are compared


def audit_verdicts(verdicts: Verdicts, people: Verdicts | None = None, seed: int = 0) -> AuditResult:
    """Audit verdicts on pairs of answers.

    Args:
        verdicts: of the audited judge, or people.
        people: human verdicts on the same prompts and systems, to agree with.
        seed: of bootstraps.

    Raises:
        DataError: `people` judged none of the questions.
    """
    pairs = Pairwise.of_prompts(verdicts.system_tables(), verdicts.systems, seed) if len(verdicts.systems) > 1 else None
    between = structure(pairs) if pairs is not None and len(pairs.rate) else None
    within = prompt_cycles(verdicts)
    position, consistency = position_bias(verdicts), self_consistency(verdicts)
    agreements = _agreements(verdicts, people)
    known = information(verdicts)
    evidence = Evidence(
        failures=bounded_estimate(prompt_means(verdicts.column("prompt"), np.isnan(verdicts.probability))),
        even=_all_even(verdicts),
        information=known,
        position=position,
        consistency=consistency,
        people=() if people is None else agreements,
        systems_p=None if pairs is None else pairs.differ(),
        exact=bool(verdicts.exact),
    )
    end = conclude(between, within, len(verdicts.prompts), evidence)
    return AuditResult(
        name=verdicts.name,
        raters=verdicts.raters,
        prompts=len(verdicts.prompts),
        verdicts=len(verdicts.rows),
        failures=verdicts.failures,
        position=position,
        length=length_bias(verdicts),
        consistency=consistency,
        agreement=agreements,
        structure=between,
        prompt_cycles=within,
        p_value=end.p_value,
        verdict=end.verdict,
        advice=end.advice,
        information=known,
        reasons=verdicts.reasons,
        users=None if verdicts.users is None else user_disagreement(verdicts.users),
    )


def audit_table(pairs: Pairwise, name: str) -> AuditResult:
    """Audit win rates between systems, without prompts."""
    between = structure(pairs)
    end = conclude(between, None, 0, Evidence(systems_p=pairs.differ(), exact=pairs.p_first is None))
    return AuditResult(
        name, (), 0, 0, 0, None, None, None, (), between, None, end.p_value, end.verdict, end.advice
    )  # fmt: skip


def audit_rates(P: ArrayLike, labels_: Sequence[str], name: str) -> AuditResult:
    """Audit win rates P[i, j] = Pr(i ≻ j) that may be noisy, one does not know how much: nothing is tested."""
    return audit_table(Pairwise.of_rates(P, labels_), name)


def audit_counts(wins: ArrayLike, labels_: Sequence[str], name: str, seed: int = 0) -> AuditResult:
    """Audit win counts of independent comparisons.

    Raises:
        DataError: not counts.
    """
    return audit_table(Pairwise.of_counts(wins, labels_, seed), name)


def _all_even(verdicts: Verdicts) -> bool:
    """Whether nothing is ever preferred; verdicts that do not exist are no even bets."""
    p = verdicts.probability[np.isfinite(verdicts.probability)]
    return len(p) > 0 and bool((p == 0.5).all())


def _agreements(verdicts: Verdicts, people: Verdicts | None) -> tuple[Agreement, ...]:
    single = [verdicts.of_rater(r) for r in range(len(verdicts.raters))]
    given = [labels(one) for one in single]
    if people is not None:
        wanted = labels(people)
        reference = people.raters[0] if len(people.raters) == 1 else f"majority of {len(people.raters)} people"
        found = [agreement(name, mine, reference, wanted) for name, mine in zip(verdicts.raters, given, strict=True)]
        if not any(found):
            raise DataError(people.name, f"none of its pairs of answers is among those of {verdicts.name}")
        return tuple(one for one in found if one is not None)
    named = list(zip(verdicts.raters, given, strict=True))[:_MOST_RATERS]
    each = [agreement(a, mine, b, theirs) for (a, mine), (b, theirs) in combinations(named, 2)]
    return tuple(one for one in each if one is not None)
