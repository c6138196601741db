"""Preference tables over a prompt's answers, and the win rates that the losses and the evaluation take from them.

Which mean of a table is *the* win rate ŵ depends on its use. Let y_1..y_K be drawn independently from the opponent.

    other samples judge    ŵ(y_i) = 1/(K−1) · sum_{j≠i} P_ij      unbiased for w(y_i) = P(y_i ≻ opponent): for reports
    all samples judge      ŵ(y_i) = 1/K · sum_j P_ij, P_ii = 1/2   for `group` regression on these same samples

In the second use y_i is also an opponent of the samples that it is compared with, which counts each pair twice: with
the first mean the regression's fixed point is a step of size eta·K/(K−1), with the second exactly eta (for K = 2 this
is the 1/2 of INPO's target eta/2). Against opponents drawn *independently* of the samples, `cross`, the plain mean
serves both uses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from comal.judges.asking.oracle import Oracle
from comal.judges.base import Comparison

Table = NDArray[np.float64]


def all_pairs(
    oracle: Oracle,
    prompts: Sequence[str],
    answers: Sequence[Sequence[str]],
    asked: Sequence[NDArray[np.bool_]] | None = None,
) -> list[Table]:
    """For each prompt with K answers P[i, j] = Pr(i ≻ j), shape (K, K); the diagonal is 1/2, no verdict NaN.

    With `asked`, a symmetric mask of shape (K, K) for each prompt, only those pairs are asked; the others are NaN.
    """
    masks = asked or [np.ones((len(group), len(group)), dtype=bool) for group in answers]
    uppers = [np.nonzero(np.triu(mask, k=1)) for mask in masks]
    comparisons = [
        Comparison(prompt, group[i], group[j])
        for prompt, group, upper in zip(prompts, answers, uppers, strict=True)
        for i, j in zip(*upper, strict=True)
    ]
    verdicts = _as_floats(oracle.win_probabilities(comparisons))
    tables, start = [], 0
    for group, upper in zip(answers, uppers, strict=True):
        end = start + len(upper[0])
        P = np.full((len(group), len(group)), np.nan)
        np.fill_diagonal(P, 0.5)
        P[upper] = verdicts[start:end]
        P.T[upper] = 1 - verdicts[start:end]
        tables.append(P)
        start = end
    return tables


def cross(
    oracle: Oracle,
    prompts: Sequence[str],
    answers: Sequence[Sequence[str]],
    opponents: Sequence[Sequence[str]],
    asked: Sequence[NDArray[np.bool_]] | None = None,
) -> list[Table]:
    """For each prompt the table P[i, j] = Pr(answer i ≻ opponent's answer j), shape (K, L), NaN without a verdict.

    With `asked`, a mask of shape (K, L) for each prompt, only those pairs are asked; the others are NaN.
    """
    masks = asked or [
        np.ones((len(group), len(others)), dtype=bool) for group, others in zip(answers, opponents, strict=True)
    ]
    comparisons = [
        Comparison(prompt, group[i], others[j])
        for prompt, group, others, mask in zip(prompts, answers, opponents, masks, strict=True)
        for i, j in zip(*np.nonzero(mask), strict=True)
    ]
    verdicts = _as_floats(oracle.win_probabilities(comparisons))
    tables, start = [], 0
    for mask in masks:
        end = start + int(mask.sum())
        table = np.full(mask.shape, np.nan)
        table[mask] = verdicts[start:end]
        tables.append(table)
        start = end
    return tables


def win_rates(P_KL: Table) -> Table:
    """Mean win rate of each row over the verdicts there are, shape (K,); NaN for a row without any.

    For self-play regression give it the whole of an `all_pairs` table, diagonal included; see the module's docstring.
    """
    judged_KL = ~np.isnan(P_KL)
    return _mean(np.where(judged_KL, P_KL, 0.0), judged_KL)


def win_rates_against_others(P_KK: Table) -> Table:
    """Mean win rate of each answer against the *other* ones, shape (K,); NaN for an answer without any verdict."""
    judged_KK = ~np.isnan(P_KK) & ~np.eye(len(P_KK), dtype=bool)
    return _mean(np.where(judged_KK, P_KK, 0.0), judged_KK)


def rates_against_replies(P_KL: Table, tau: float) -> Table:
    """What each row wins against the reply that is best under a KL to the columns' policy, shape (K,); NaN without any.

    -tau · log of the mean over the verdicts there are of exp(-P / tau): a soft minimum of the row. Of L columns it is
    high by about tau/2 times the relative variance of that mean.
    """
    judged_KL = ~np.isnan(P_KL)
    known_KL = np.where(judged_KL, P_KL, np.inf)
    least_K = np.min(known_KL, axis=1, initial=1.0)
    decay_KL = np.exp(-(known_KL - least_K[:, None]) / tau)
    worth_K: Table = least_K - tau * np.log(_mean(decay_KL, judged_KL))
    return worth_K


def fully_rated(P: Table, *, self_play: bool) -> bool:
    """Whether every answer has a verdict against some (other) answer; drop and count a prompt where one has not.

    The diagonal of a self-play table is no verdict.
    """
    rates = win_rates_against_others(P) if self_play else win_rates(P)
    return bool(np.isfinite(rates).all())


def _mean(values: Table, judged: NDArray[np.bool_]) -> Table:
    counts = judged.sum(axis=1)
    return np.where(counts > 0, values.sum(axis=1) / np.maximum(counts, 1), np.nan)


def _as_floats(verdicts: Sequence[float | None]) -> Table:
    return np.array([np.nan if p is None else p for p in verdicts], dtype=float)
