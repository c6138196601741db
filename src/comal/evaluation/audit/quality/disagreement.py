"""How much the users of a population disagree, whose mean verdict hides it.

Where a majority of the users decides a pair, the others would rather have the other answer: their share is what one
answer for all costs them, 0 where all agree and up to ½. Several answers at once are worth the more the larger it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from comal.evaluation.audit.agreement import Agreement, agreement, labels
from comal.evaluation.audit.bounded import bounded_estimate, prompt_means
from comal.evaluation.audit.verdicts import Verdicts
from comal.evaluation.estimates import Estimate

_MOST_USERS = 8  # of whom every two are compared


@dataclass(frozen=True, slots=True)
class UserDisagreement:
    """Users against each other, on the pairs that all of them have a verdict on.

    Attributes:
        users: names.
        pairs: of answers.
        minority: share of the users who would rather have the other answer than the one that more users prefer.
        agreement: of every two of the first users.
    """

    users: tuple[str, ...]
    pairs: int
    minority: Estimate
    agreement: tuple[Agreement, ...]


def user_disagreement(verdicts: Verdicts) -> UserDisagreement | None:
    """The disagreement of users whose verdicts these are, a rater each; None where no pair has a verdict of all.

    Users count by `Verdicts.shares`.
    """
    given = [labels(verdicts.of_rater(number)) for number in range(len(verdicts.raters))]
    judged = [question for question in given[0] if all(of_user.get(question) is not None for of_user in given)]
    if not judged or not verdicts.shares:
        return None
    label_UQ = np.array([[of_user[question] for question in judged] for of_user in given], dtype=np.float64)
    first_Q, second_Q = (np.asarray(verdicts.shares) @ (label_UQ == label) for label in (1, -1))
    numbers = {prompt: number for number, prompt in enumerate(dict.fromkeys(q[0] for q in judged))}
    prompts = np.array([numbers[question[0]] for question in judged])
    minority = bounded_estimate(prompt_means(prompts, np.minimum(first_Q, second_Q)))
    if minority is None:
        return None
    named = list(zip(verdicts.raters, given, strict=True))[:_MOST_USERS]
    each = [agreement(a, mine, b, theirs) for (a, mine), (b, theirs) in combinations(named, 2)]
    return UserDisagreement(verdicts.raters, len(judged), minority, tuple(one for one in each if one is not None))
