"""What a run can show, before it is run: its methods in the small game among the classes of its answers.

Of the answers that the start gives, the classes have shares p, and their mean win rates against each other are a game
P. Where the judge sees little more of an answer than its class, that game is what is played, with one policy for all
prompts and without noise; and its exact solution says beforehand

    whether there is anything to gain: what the strongest class wins against p (.5: the start is a Nash policy);
    whether the methods will differ: what the strongest class wins against the policy that each ends with.

What it cannot say is how much of a step arrives in a language model. An under-fitted step goes a share s of the way, in
log-probabilities, which is a step of size s·eta towards an anchor that holds the reference by s·eta·tau. So the table
has several shares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from comal.algorithms.base import Algorithm, Instruction, Report, Step
from comal.engine import MemoryJournal, run
from comal.errors import ComalError
from comal.evaluation.audit.verdicts import Floats, Verdicts
from comal.games.backend import ExactBackend
from comal.games.game import PreferenceGame
from comal.records import OMITTED

SHARES = (1.0, 0.5, 0.25)


@dataclass(frozen=True, slots=True)
class End:
    """Where a method ends.

    Attributes:
        arrives: the share of a step that arrives.
        win_rate: what the strongest class wins against the last policy.
    """

    arrives: float
    win_rate: float


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A method's ends; where it cannot be carried out in this game there are none, and a reason."""

    method: str
    ends: tuple[End, ...]
    reason: str | None = field(default=None, metadata=OMITTED)


@dataclass(frozen=True, slots=True)
class Foresight:
    """The game among the classes of the start's answers, and what a run's methods would make of it.

    Attributes:
        classes: by name.
        class_shares: of the start's answers, of those of these classes; they sum to 1.
        rates: [i][j] is the mean win rate of class i against class j.
        left_out: classes too rare to have met all the others.
        start: what the strongest class wins against the start.
        steps: proximal steps of each method.
        methods: the run's.
    """

    classes: tuple[str, ...]
    class_shares: tuple[float, ...]
    rates: tuple[tuple[float, ...], ...]
    left_out: tuple[str, ...]
    start: float
    steps: int
    methods: tuple[Foreseen, ...]


def foresee(
    verdicts: Verdicts, classes: Sequence[Sequence[str | None]], methods: Mapping[str, Algorithm], steps: int
) -> Foresight | None:
    """What the methods would make of the game among the classes.

    Args:
        verdicts: on the start's answers.
        classes: of each of the K answers to each prompt; None where there is none.
        methods: by name.
        steps: proximal steps of each.

    Returns:
        None where fewer than two classes have met each other.
    """
    names = sorted({name for group in classes for name in group if name is not None})
    counts = np.array([sum(group.count(name) for group in map(list, classes)) for name in names], dtype=np.float64)
    rates = _rates(verdicts, classes, names)
    kept = _all_met(counts, rates)
    if len(kept) < 2:
        return None
    P, shares = rates[np.ix_(kept, kept)], counts[kept] / counts[kept].sum()
    chosen = tuple(names[i] for i in kept)
    game = PreferenceGame(P, chosen)
    return Foresight(
        classes=chosen,
        class_shares=tuple(map(float, shares)),
        rates=tuple(tuple(map(float, row)) for row in P),
        left_out=tuple(name for name in names if name not in chosen),
        start=float((P @ shares).max()),
        steps=steps,
        methods=tuple(_foreseen(name, game, rule, shares, steps) for name, rule in methods.items()),
    )


def _rates(verdicts: Verdicts, classes: Sequence[Sequence[str | None]], names: Sequence[str]) -> Floats:
    """Mean win rates between classes, NaN where two never met; 1/2 of a class against itself."""
    number = {name: i for i, name in enumerate(names)}
    won, met = np.zeros((len(names), len(names))), np.zeros((len(names), len(names)))
    for row in verdicts.rows:
        first, second = classes[row.prompt][row.first], classes[row.prompt][row.second]
        if first is not None and second is not None and np.isfinite(row.probability):
            i, j = number[first], number[second]
            won[i, j] += row.probability
            won[j, i] += 1 - row.probability
            met[i, j] += 1
            met[j, i] += 1
    rates = np.divide(won, met, out=np.full(won.shape, np.nan), where=met > 0)
    rates = np.asarray((rates + 1 - rates.T) / 2)  # to the last digit
    np.fill_diagonal(rates, 0.5)
    return rates


def _all_met(counts: Floats, rates: Floats) -> list[int]:
    """Classes of which every two have met: the rarest of those that have not goes first."""
    kept = list(range(len(counts)))
    while True:
        strangers = [i for i in kept if np.isnan(rates[i, kept]).any()]
        if not strangers:
            return kept
        kept.remove(min(strangers, key=lambda i: counts[i]))


def _foreseen(method: str, game: PreferenceGame, rule: Algorithm, start: Floats, steps: int) -> Foreseen:
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            return Foreseen(method, tuple(End(s, strongest_at_the_end(game, rule, start, steps, s)) for s in SHARES))
    except ComalError as error:
        return Foreseen(method, (), str(error))
    except FloatingPointError as error:
        return Foreseen(method, (), f"it leaves the numbers that a computer holds: {error}")


def strongest_at_the_end(game: PreferenceGame, rule: Algorithm, start: Floats, steps: int, arrives: float) -> float:
    """What the strongest pure answer wins against a method's policy after so many proximal steps.

    Args:
        game: one game.
        rule: the method.
        start: its first policy, (n,).
        steps: how many.
        arrives: the share of each that is taken.
    """
    backend, taken = ExactBackend(game, start, arrives=arrives), 0

    def stop(index: int, instruction: Instruction, report: Report) -> bool:
        nonlocal taken
        del index, report
        taken += isinstance(instruction, Step)
        return taken >= steps

    run(rule, backend, MemoryJournal(), stop)
    return 0.5 + float(backend.gaps()[0]) / 2
