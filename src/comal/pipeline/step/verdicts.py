"""Judged comparisons of a stage, as a table on disk with stable ids of prompt and answers.

The table's notes say what the oracle counted, under "oracle": of that only what does not depend on how often the stage
was interrupted, since the files of a resumed run are those of an uninterrupted one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from comal.errors import RunError
from comal.judges.asking.completion import complete_against_others, complete_cross, complete_self_play
from comal.judges.asking.design import Mask, pairs_to_ask
from comal.judges.asking.oracle import Oracle
from comal.judges.asking.tables import Table, all_pairs, cross
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
    """

    tables: list[Table]
    asked: list[Mask]


def judge_once(
    path: Path, oracle: Oracle, samples: Samples, opponents: Samples | None, design: Design | None = None
) -> Judged:
    """The verdicts in `path`, asked for first when the file is not there yet; the main process asks.

    Args:
        path: a Parquet file with one row a pair, asked or not.
        oracle: the judge.
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

    def ask() -> None:
        if path.is_file():
            return
        prompts = [p.text for p in samples.prompts]
        asked = None if design is None else _masks(samples, opponents, design)
        with oracle.counted():
            if opponents is None:
                tables = all_pairs(oracle, prompts, samples.texts, asked)
            else:
                tables = cross(oracle, prompts, samples.texts, opponents.texts, asked)
            counts = oracle.stats.settled()
        columns: dict[str, list[object]] = {name: [pair[i] for pair in pairs] for i, name in enumerate(names)}
        columns["probability"] = [None if np.isnan(p) else float(p) for table in tables for p in table.flat]
        masks = asked or [np.ones(table.shape, dtype=bool) for table in tables]
        columns["asked"] = [bool(a) for mask in masks for a in mask.flat]
        write_table(path, columns, {"oracle": to_json(counts)})

    on_main(ask)
    table = read_table(path)
    if list(zip(*(table[name] for name in names), strict=True)) != pairs:
        raise RunError(str(path), "the file holds verdicts on other answers; remove it to ask again")
    shape = (len(samples.prompts), len(samples.completions[0]), -1)
    probabilities = np.array(table["probability"], dtype=np.float64).reshape(shape)
    # A run that was begun by an older comal asked all.
    asked = np.array(table.get("asked", [True] * len(pairs)), dtype=bool).reshape(shape)
    return Judged(list(probabilities), list(asked))


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


def _masks(samples: Samples, opponents: Samples | None, design: Design) -> list[Mask]:
    """Drawn by a prompt's position: one that comes twice in a step is asked about other pairs each time."""
    rows = samples.texts
    others = [None] * len(rows) if opponents is None else opponents.texts
    return [
        pairs_to_ask(row, other, design.degree, derive_seed(design.seed, number))
        for number, (row, other) in enumerate(zip(rows, others, strict=True))
    ]
