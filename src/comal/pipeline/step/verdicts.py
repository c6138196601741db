"""Judged comparisons of a stage, as a table on disk with stable ids of prompt and answers.

The table's notes say what the oracle counted, under "oracle": of that only what does not depend on how often the stage
was interrupted, since the files of a resumed run are those of an uninterrupted one. Where the users of a population
were asked one by one, it has their verdicts too, a column each, and `probability` is the population's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from comal.errors import RunError
from comal.judges.asking.answers_shown import taken_from_draws, without_diagonal
from comal.judges.asking.completion import complete_against_others, complete_cross, complete_self_play
from comal.judges.asking.design import Mask, pairs_to_ask
from comal.judges.asking.oracle import Oracle
from comal.judges.asking.tables import Table, all_pairs, cross
from comal.judges.asking.users import Users
from comal.pipeline.disk.files import read_table, write_table
from comal.pipeline.processes.distributed import on_main
from comal.pipeline.step.samples import Samples
from comal.policies.base import derive_seed
from comal.records import to_json


@dataclass(frozen=True, slots=True)
class Design:
    """A budget: each answer meets `degree` others, which ones follows from `seed`; see `comal.judges.asking.design`."""

    degree: int
    seed: int


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdicts of a stage, prompt by prompt.

    Attributes:
        tables: P[i, j] = Pr(sample i > opponent j), shape (K, L), NaN where there is none.
        asked: of the same shape, which pairs were asked; NaN where asked is a failure of the judge.
        users: each user's verdicts, (U, K, L), where the users of a population were asked.
    """

    tables: list[Table]
    asked: list[Mask]
    users: list[Table] | None = None


def judge_once(
    path: Path,
    oracle: Oracle | Users,
    samples: Samples,
    opponents: Samples | None,
    design: Design | None = None,
) -> Judged:
    """The verdicts in `path`, asked for first when the file is not there yet; the main process asks.

    Args:
        path: a Parquet file with one row a pair, asked or not.
        oracle: the judge, or the users of a population, who are asked about all pairs.
        samples: K answers to each prompt.
        opponents: L answers to each prompt; None lets the samples play each other: shape (K, K), 1/2 on the diagonal.
        design: which pairs are asked; None: all.

    Raises:
        RunError: the file is about other prompts or answers.
    """
    others = samples if opponents is None else opponents
    pairs = [
        (prompt.id, first, second)
        for prompt, firsts, seconds in zip(samples.prompts, samples.answer_ids(), others.answer_ids(), strict=True)
        for first in firsts
        for second in seconds
    ]
    names = ("prompt_id", "first_id", "second_id")

    user_columns = [f"user_{u}" for u in range(len(oracle.shares))] if isinstance(oracle, Users) else []

    def ask() -> None:
        if path.is_file():
            return
        prompts = [p.text for p in samples.prompts]
        asked = None if design is None else _masks(samples, opponents, design)
        with oracle.counted():
            of_users = None
            if isinstance(oracle, Users):
                texts = samples.texts
                of_users = (
                    oracle.all_pairs(prompts, texts)
                    if opponents is None
                    else oracle.cross(prompts, texts, opponents.texts)
                )
                tables = [np.tensordot(oracle.shares, P, axes=1) for P in of_users]  # NaN where a user gave none
            elif opponents is None:
                tables = all_pairs(oracle, prompts, samples.texts, asked)
            else:
                tables = cross(oracle, prompts, samples.texts, opponents.texts, asked)
            counts = oracle.stats.settled()
        columns: dict[str, list[object]] = {name: [pair[i] for pair in pairs] for i, name in enumerate(names)}
        columns["probability"] = [None if np.isnan(p) else float(p) for table in tables for p in table.flat]
        masks = asked or [np.ones(table.shape, dtype=bool) for table in tables]
        columns["asked"] = [bool(a) for mask in masks for a in mask.flat]
        for u, column in enumerate(user_columns):
            columns[column] = [None if np.isnan(p) else float(p) for P in of_users or () for p in P[u].flat]
        write_table(path, columns, {"oracle": to_json(counts)})

    on_main(ask)
    table = read_table(path)
    if list(zip(*(table[name] for name in names), strict=True)) != pairs:
        raise RunError(str(path), "the file holds verdicts on other answers; remove it to ask again")
    shape = (len(samples.prompts), len(samples.completions[0]), -1)
    probabilities = np.array(table["probability"], dtype=np.float64).reshape(shape)
    # A run that was begun by an older comal asked all.
    asked = np.array(table.get("asked", [True] * len(pairs)), dtype=bool).reshape(shape)
    if not user_columns:
        return Judged(list(probabilities), list(asked))
    missing = next((column for column in user_columns if column not in table), None)
    if missing is not None:
        raise RunError(str(path), f"the file holds no verdicts of `{missing}`; remove it to ask again")
    by_user = [np.array(table[column], dtype=np.float64).reshape(shape) for column in user_columns]
    return Judged(list(probabilities), list(asked), list(np.stack(by_user, axis=1)))


def target_win_rates(judged: Judged, self_play: bool, unbiased: bool = False) -> NDArray[np.float64]:
    """Win rates to regress on, shape (prompts, K); a row of NaN where some answer has no verdict at all.

    In self-play the diagonal counts: see `comal.judges.asking.tables` for why that makes the step size exactly eta. It
    does not for a loss that needs each rate `unbiased` given its answer (`Loss.needs_unbiased_rates`). Win rates of
    which only some pairs were asked are completed without bias, so that the step is the same on average.
    """
    if not self_play:
        return complete_cross(judged.tables, judged.asked)
    complete = complete_against_others if unbiased else complete_self_play
    return complete(judged.tables, judged.asked)


def draw_win_rates(
    judged: Judged, users: Users, k: int, self_play: bool, unbiased: bool = False
) -> NDArray[np.float64]:
    """w_k to regress on, shape (prompts, K): how often a sample is preferred to k answers of the opponent.

    NaN where a user has fewer than k verdicts on a sample; of more, but not all, the mean is over those there are.

    Under self-play a sample's ŵ_k shares its verdicts with the others'. Their mean over a prompt is 1/(k + 1) whatever
    was drawn, so ŵ_k less that mean is unbiased for w_k(y) - 1/(k + 1), while a log-ratio less its mean over K samples
    has shrunk by (K - 1)/K. Shrinking ŵ_k likewise makes the step exactly eta; at k = 1 that is the mean which counts
    the diagonal (`comal.judges.asking.tables`). Each rate for itself is `unbiased` without.

    Args:
        judged: with the users' verdicts.
        users: whose they are.
        k: answers shown.
        self_play: whether the samples are their own opponents.
        unbiased: as in `target_win_rates`.
    """
    assert judged.users is not None
    P_BUKL = np.stack(judged.users)
    if self_play:
        P_BUKL = without_diagonal(P_BUKL)
    taken_BUK = taken_from_draws(P_BUKL, k, missing_left_out=True)
    rates: NDArray[np.float64] = np.tensordot(taken_BUK, users.shares, axes=([1], [0]))
    if self_play and not unbiased:
        K = rates.shape[1]
        rates = ((K - 1) * rates + 1 / (k + 1)) / K
    return rates


def _masks(samples: Samples, opponents: Samples | None, design: Design) -> list[Mask]:
    """Drawn by a prompt's position: one that comes twice in a step is asked about other pairs each time."""
    rows = samples.texts
    others = [None] * len(rows) if opponents is None else opponents.texts
    return [
        pairs_to_ask(row, other, design.degree, derive_seed(design.seed, number))
        for number, (row, other) in enumerate(zip(rows, others, strict=True))
    ]
