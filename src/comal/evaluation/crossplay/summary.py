"""All figures of a cross-play: what `comal eval` prints and writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from comal.evaluation.crossplay.alpaca_eval import leaderboard_row
from comal.evaluation.crossplay.crossplay import CrossPlay
from comal.evaluation.crossplay.empirical_game import EmpiricalGame, empirical_game
from comal.evaluation.crossplay.figures import (
    CrossPlayFigures,
    Difference,
    EloFigures,
    GameFigures,
    Judging,
    LengthControlled,
    Lengths,
    LengthWeights,
    Matrix,
    Meeting,
    Standing,
)
from comal.evaluation.crossplay.length_control import LengthControl, length_control
from comal.evaluation.crossplay.ratings import Ratings, rate
from comal.evaluation.estimates import says_little
from comal.evaluation.exploitability.adversaries import Answers
from comal.evaluation.intervals import Floats

LENGTH_DRAWS = 200
"""Resamples behind the interval of a length-controlled win rate: each one is a fit."""


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """Figures of a cross-play.

    Attributes:
        policies: each one's standing.
        figures: all others.
        leaderboard: AlpacaEval's row of every policy against the baseline.
        notes: what a reader must know of the figures.
    """

    policies: Mapping[str, Standing]
    figures: CrossPlayFigures
    leaderboard: dict[str, dict[str, Any]]
    notes: tuple[str, ...]


def summarise(
    play: CrossPlay, answers: Mapping[str, Answers] | None, baseline: str, with_length_control: bool
) -> Summary:
    """Every figure that follows from verdicts and answer texts alone.

    Args:
        play: the verdicts.
        answers: each policy's answers to each prompt; None of verdicts that somebody else collected, on policies that
            need not have met equally often, or at all.
        baseline: the policy that length-controlled win rates, differences and the leaderboard are against.
        with_length_control: fit the length-controlled win rates.

    Raises:
        DataError: a pair of policies without any verdict, where the answers are known.
    """
    base = play.policies.index(baseline)
    ready = answers is None
    apart = [(i, j) for i, j in zip(*np.triu_indices(play.n, 1), strict=True) if np.isnan(play.matrix[i, j])]
    game = None if ready and apart else empirical_game(play)
    ratings = rate(play, counted=ready)
    notes = [*_too_few(play), *_never_met(play, len(apart) if ready else 0), *_of_elo(ratings, game), *_of_game(game)]
    lengths = {} if answers is None else {name: _mean_lengths(answers[name]) for name in play.policies}
    policies: dict[str, Standing] = {}
    leaderboard = {}
    for i, name in enumerate(play.policies):
        controlled = None
        if with_length_control and i != base:
            try:
                controlled = _length_control(play, i, base, lengths)
            except ValueError as error:
                notes.append(f"{name} has no length-controlled win rate: {error}")
        if answers is not None:
            leaderboard[name] = leaderboard_row(play.rates[:, i, base], float(lengths[name].mean()), controlled)
        policies[name] = Standing(
            win_rate=play.mean_win_rate(i),
            against_baseline=None if i == base else play.interval(i, base),
            length_controlled=None if controlled is None else _controlled(controlled),
            elo=None if ratings.elo is None else ratings.elo[i],
            nash=None if game is None else float(game.nash[i]),
            nash_averaging=None if game is None else float(game.nash_averaging[i]),
            skill=None if game is None else float(game.skill[i]),
            nash_low=None if game is None else _or_none(game.mixture_low[i]),
            nash_high=None if game is None else _or_none(game.mixture_high[i]),
            in_support=None if game is None else float(game.support[i]),
            condorcet_share=None if game is None else float(game.condorcet_share[i]),
            lengths=None if answers is None else _length_statistics(answers[name]),
        )
    stats = play.stats
    figures = CrossPlayFigures(
        baseline=baseline,
        num_prompts=len(play.prompts),
        pairs=tuple(_meeting(play, i, j) for i, j in sorted(play.tables)),
        differences=_differences(play, base),
        matrix=_table(play.matrix),
        low=_table(play.low),
        high=_table(play.high),
        game=None
        if game is None
        else GameFigures(
            gap=game.gap,
            nash_is_unique=bool(np.allclose(game.nash, game.nash_averaging, atol=1e-6)),
            resamples=game.resamples,
            condorcet_winner=game.condorcet,
            cycles=game.cycles,
            certain_cycles=game.certain_cycles,
        ),
        elo=EloFigures(ratings.error, ratings.misleading),
        judging=Judging(
            stats.comparisons,
            stats.questions,
            stats.failures,
            stats.failure_rate,
            stats.flip_rate,
            stats.position_bias,
        ),
        bootstrap=play.bootstrap,
    )
    return Summary(policies, figures, leaderboard, tuple(notes))


def _meeting(play: CrossPlay, i: int, j: int) -> Meeting:
    by_prompt = play.outcomes(i, j)
    return Meeting(
        play.policies[i],
        play.policies[j],
        play.interval(i, j),
        by_prompt,
        by_prompt.decided(play.bootstrap.level),
        play.verdicts(i, j),
    )


def _differences(play: CrossPlay, base: int) -> tuple[Difference, ...]:
    """Differences of win rates against the baseline, on the same prompts."""
    others = [i for i in range(play.n) if i != base]
    return tuple(
        Difference(play.policies[i], play.policies[j], play.difference(i, j, base))
        for number, i in enumerate(others)
        for j in others[number + 1 :]
    )


def _controlled(fit: LengthControl) -> LengthControlled:
    low, high = (None, None) if fit.interval is None else (fit.interval.low, fit.interval.high)
    weights = LengthWeights(fit.length, fit.difficulty, fit.bias)
    return LengthControlled(fit.win_rate, low, high, fit.standard_error, weights, fit.C, fit.prompts)


def _length_control(play: CrossPlay, i: int, base: int, lengths: Mapping[str, Floats]) -> LengthControl:
    return length_control(
        play.rates[:, i, base],
        lengths[play.policies[base]],
        lengths[play.policies[i]],
        bootstrap=replace(play.bootstrap, draws=min(LENGTH_DRAWS, play.bootstrap.draws)),
    )


def _too_few(play: CrossPlay) -> list[str]:
    reach = (play.high - play.low)[np.isfinite(play.low)]
    if not says_little(0.0, float(reach.max(initial=0.0))):
        return []
    return [
        f"{len(play.prompts)} prompts are too few to say anything of some pairs: their intervals leave half of all win "
        "rates open, or more."
    ]


def _never_met(play: CrossPlay, apart: int) -> list[str]:
    if not apart:
        return []
    pairs = play.n * (play.n - 1) // 2
    return [
        f"{apart} of {pairs} pairs were never compared: there is no Nash mixture of a game that is not known, and no "
        "mean win rate of who has not met all others. Elo ratings are fitted to those that were."
    ]


def _of_elo(ratings: Ratings, game: EmpiricalGame | None) -> list[str]:
    if ratings.elo is None and game is None:
        return [
            "There are no finite Elo ratings: some policies win every comparison with the others, or no chain of "
            "comparisons leads to them."
        ]
    if ratings.elo is None:
        return [
            "There are no finite Elo ratings: some policies win every comparison with the others. Win rates and the "
            "Nash mixture need no such thing."
        ]
    if not ratings.misleading:
        return []
    worst = max(ratings.misleading, key=lambda wrong: (wrong.win_rate.value or 0.0) - wrong.predicted)
    return [
        f"Elo misleads: {worst.winner} beats {worst.loser} ({worst.win_rate}) but is rated no higher ("
        f"{worst.predicted:.3f} predicted). The preferences are intransitive; one number a policy cannot say so."
    ]


def _of_game(game: EmpiricalGame | None) -> list[str]:
    if game is None:
        return []
    notes = []
    if game.condorcet is not None:
        share = game.condorcet_share[game.policies.index(game.condorcet)]
        notes.append(f"Condorcet winner: {game.condorcet} beats every other policy (in {share:.0%} of the resamples).")
    else:
        notes.append("There is no Condorcet winner: every policy is beaten, or met by a draw, by some other one.")
    if game.certain_cycles:
        a, b, c = game.certain_cycles[0]
        notes.append(f"A cycle beyond doubt: {a} beats {b}, {b} beats {c} and {c} beats {a}.")
    return notes


def _mean_lengths(answers: Answers) -> Floats:
    return np.array([np.mean([len(answer) for answer in group]) for group in answers])


def _length_statistics(answers: Answers) -> Lengths:
    characters = np.array([len(answer) for group in answers for answer in group], dtype=np.float64)
    words = np.array([len(answer.split()) for group in answers for answer in group], dtype=np.float64)
    return Lengths(
        answers=len(characters),
        mean_characters=float(characters.mean()),
        median_characters=float(np.median(characters)),
        sd_characters=float(characters.std(ddof=1)) if len(characters) > 1 else None,
        mean_words=float(words.mean()),
        empty=int(sum(not answer.strip() for group in answers for answer in group)),
    )


def _table(values: Floats) -> Matrix:
    return tuple(tuple(_or_none(p) for p in row) for row in values)


def _or_none(p: float) -> float | None:
    return None if np.isnan(p) else float(p)
