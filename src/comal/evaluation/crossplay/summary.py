"""All figures of a cross-play as plain JSON values: what `comal eval` prints and writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from comal.evaluation.crossplay.alpaca_eval import leaderboard_row
from comal.evaluation.crossplay.crossplay import CrossPlay
from comal.evaluation.crossplay.empirical_game import EmpiricalGame, empirical_game
from comal.evaluation.crossplay.length_control import LengthControl, length_control
from comal.evaluation.crossplay.ratings import Ratings, rate
from comal.evaluation.exploitability.adversaries import Answers
from comal.evaluation.intervals import Floats

LENGTH_DRAWS = 200
"""Resamples behind the interval of a length-controlled win rate: each one is a fit."""


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """Figures of a cross-play.

    Attributes:
        values: for JSON; NaN is null.
        leaderboard: AlpacaEval's row of every policy against the baseline.
        notes: what a reader must know of the figures.
    """

    values: dict[str, Any]
    leaderboard: dict[str, dict[str, Any]]
    notes: tuple[str, ...]


def summarise(play: CrossPlay, answers: Mapping[str, Answers], baseline: str, with_length_control: bool) -> Summary:
    """Every figure that follows from verdicts and answer texts alone.

    Args:
        play: the verdicts.
        answers: each policy's answers to each prompt.
        baseline: the policy that length-controlled win rates, differences and the leaderboard are against.
        with_length_control: fit the length-controlled win rates.

    Raises:
        DataError: a pair of policies without any verdict.
    """
    base = play.policies.index(baseline)
    game, ratings = empirical_game(play), rate(play)
    lengths = {name: _mean_lengths(answers[name]) for name in play.policies}
    notes = list(_notes(game, ratings))
    policies, leaderboard = {}, {}
    for i, name in enumerate(play.policies):
        controlled = None
        if with_length_control and i != base:
            try:
                controlled = _length_control(play, i, base, lengths)
            except ValueError as error:
                notes.append(f"{name} has no length-controlled win rate: {error}")
        leaderboard[name] = leaderboard_row(play.rates[:, i, base], float(lengths[name].mean()), controlled)
        policies[name] = {
            "win_rate": play.mean_win_rate(i).to_json(),
            "against_baseline": None if i == base else play.interval(i, base).to_json(),
            "length_controlled": None if controlled is None else controlled.to_json(),
            "elo": None if ratings.elo is None else ratings.elo[i].to_json(),
            "nash": float(game.nash[i]),
            "nash_averaging": float(game.nash_averaging[i]),
            "skill": float(game.skill[i]),
            "nash_low": _or_none(game.mixture_low[i]),
            "nash_high": _or_none(game.mixture_high[i]),
            "in_support": float(game.support[i]),
            "condorcet_share": float(game.condorcet_share[i]),
            "lengths": _length_statistics(answers[name]),
        }
    values = {
        "policies": policies,
        "baseline": baseline,
        "num_prompts": len(play.prompts),
        "pairs": [_pair(play, i, j) for i, j in sorted(play.tables)],
        "differences": _differences(play, base),
        "matrix": _table(play.matrix),
        "low": _table(play.low),
        "high": _table(play.high),
        "game": {
            "gap": game.gap.to_json(),
            "nash_is_unique": bool(np.allclose(game.nash, game.nash_averaging, atol=1e-6)),
            "resamples": game.resamples,
            "condorcet_winner": game.condorcet,
            "cycles": [list(cycle) for cycle in game.cycles],
            "certain_cycles": [list(cycle) for cycle in game.certain_cycles],
        },
        "elo": {
            "error": ratings.error,
            "misleading": [
                {
                    "winner": wrong.winner,
                    "loser": wrong.loser,
                    "win_rate": wrong.win_rate.to_json(),
                    "predicted": wrong.predicted,
                }
                for wrong in ratings.misleading
            ],
        },
        "judging": {
            "comparisons": play.stats.comparisons,
            "questions": play.stats.questions,
            "failures": play.stats.failures,
            "failure_rate": play.stats.failure_rate,
            "flip_rate": play.stats.flip_rate,
            "position_bias": play.stats.position_bias,
        },
        "bootstrap": asdict(play.bootstrap),
    }
    return Summary(values, leaderboard, tuple(notes))


def _pair(play: CrossPlay, i: int, j: int) -> dict[str, Any]:
    by_prompt = play.outcomes(i, j)
    return {
        "first": play.policies[i],
        "second": play.policies[j],
        "win_rate": play.interval(i, j).to_json(),
        "prompts": asdict(by_prompt),
        "prompts_won": by_prompt.decided(play.bootstrap.level).to_json(),
        "verdicts": asdict(play.verdicts(i, j)),
    }


def _differences(play: CrossPlay, base: int) -> list[dict[str, Any]]:
    """Differences of win rates against the baseline, on the same prompts."""
    others = [i for i in range(play.n) if i != base]
    return [
        {
            "first": play.policies[i],
            "second": play.policies[j],
            "difference": play.difference(i, j, base).to_json(),
        }
        for number, i in enumerate(others)
        for j in others[number + 1 :]
    ]


def _length_control(play: CrossPlay, i: int, base: int, lengths: Mapping[str, Floats]) -> LengthControl:
    return length_control(
        play.rates[:, i, base],
        lengths[play.policies[base]],
        lengths[play.policies[i]],
        bootstrap=replace(play.bootstrap, draws=min(LENGTH_DRAWS, play.bootstrap.draws)),
    )


def _notes(game: EmpiricalGame, ratings: Ratings) -> list[str]:
    notes = []
    if ratings.elo is None:
        notes.append(
            "There are no finite Elo ratings: some policies win every comparison with the others. Win rates and the "
            "Nash mixture need no such thing."
        )
    elif ratings.misleading:
        worst = max(ratings.misleading, key=lambda wrong: (wrong.win_rate.value or 0.0) - wrong.predicted)
        notes.append(
            f"Elo misleads: {worst.winner} beats {worst.loser} ({worst.win_rate}) but is rated no higher ("
            f"{worst.predicted:.3f} predicted). The preferences are intransitive; one number a policy cannot say so."
        )
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


def _length_statistics(answers: Answers) -> dict[str, Any]:
    characters = np.array([len(answer) for group in answers for answer in group], dtype=np.float64)
    words = np.array([len(answer.split()) for group in answers for answer in group], dtype=np.float64)
    return {
        "answers": len(characters),
        "mean_characters": float(characters.mean()),
        "median_characters": float(np.median(characters)),
        "sd_characters": float(characters.std(ddof=1)) if len(characters) > 1 else None,
        "mean_words": float(words.mean()),
        "empty": int(sum(not answer.strip() for group in answers for answer in group)),
    }


def _table(values: Floats) -> list[list[float | None]]:
    return [[_or_none(p) for p in row] for row in values]


def _or_none(p: float) -> float | None:
    return None if np.isnan(p) else float(p)
