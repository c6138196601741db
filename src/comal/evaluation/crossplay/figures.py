"""The figures of a cross-play, as `comal eval` keeps and prints them."""

from __future__ import annotations

from dataclasses import dataclass

from comal.evaluation.crossplay.crossplay import Outcomes
from comal.evaluation.crossplay.ratings import Contradiction
from comal.evaluation.intervals import Bootstrap, Interval


@dataclass(frozen=True, slots=True)
class LengthWeights:
    """Weights of a length-controlled win rate's model; see `comal.evaluation.crossplay.length_control`."""

    length: float
    difficulty: float | None
    bias: float


@dataclass(frozen=True, slots=True)
class LengthControlled:
    """A length-controlled win rate.

    Attributes:
        win_rate: in [0, 1].
        low, high, standard_error: by bootstrap; None where there was none.
        weights: of the fitted model.
        C: its inverse penalty.
        prompts: that had a preference.
    """

    win_rate: float
    low: float | None
    high: float | None
    standard_error: float | None
    weights: LengthWeights
    C: float
    prompts: int

    @property
    def interval(self) -> Interval:
        """The win rate with its interval."""
        return Interval(self.win_rate, self.low, self.high)


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long a policy's answers are.

    Attributes:
        answers: how many.
        mean_characters, median_characters, sd_characters, mean_words: of them; no deviation of a single one.
        empty: how many say nothing.
    """

    answers: int
    mean_characters: float
    median_characters: float
    sd_characters: float | None
    mean_words: float
    empty: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A policy among the others.

    Attributes:
        win_rate: against the others, each as likely.
        against_baseline: None for the baseline.
        length_controlled: against the baseline; None where there is none.
        elo: None where no finite ratings exist.
        nash, nash_averaging: its probability in a Nash mixture, and in the one of maximal entropy.
        skill: win rate against the latter.
        nash_low, nash_high: percentile interval of its probability.
        in_support: share of the resamples in whose Nash mixture it is.
        condorcet_share: share of the resamples in which it beats every other one.
        lengths: of its answers; None where only verdicts are known.

    What is of the empirical game is None where two policies never met.
    """

    win_rate: Interval
    against_baseline: Interval | None
    length_controlled: LengthControlled | None
    elo: Interval | None
    nash: float | None
    nash_averaging: float | None
    skill: float | None
    nash_low: float | None
    nash_high: float | None
    in_support: float | None
    condorcet_share: float | None
    lengths: Lengths | None


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two policies against each other.

    Attributes:
        win_rate: of the first.
        prompts: how many it won, tied and lost, by its mean win rate on each.
        prompts_won: share won of those not tied, with Wilson's interval.
        verdicts: the same counts over single pairs of answers.
    """

    first: str
    second: str
    win_rate: Interval
    prompts: Outcomes
    prompts_won: Interval
    verdicts: Outcomes


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more often the first of two policies beats the baseline, on the same prompts."""

    first: str
    second: str
    difference: Interval


@dataclass(frozen=True, slots=True)
class GameFigures:
    """The empirical game; see `comal.evaluation.crossplay.empirical_game.EmpiricalGame`.

    Attributes:
        nash_is_unique: whether the Nash mixture found is the one of maximal entropy.
        condorcet_winner: the policy that beats every other one, if there is one.
    """

    gap: Interval
    nash_is_unique: bool
    resamples: int
    condorcet_winner: str | None
    cycles: tuple[tuple[str, str, str], ...]
    certain_cycles: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class EloFigures:
    """How well Elo ratings fit; see `comal.evaluation.crossplay.ratings.Ratings`."""

    error: float | None
    misleading: tuple[Contradiction, ...]


@dataclass(frozen=True, slots=True)
class Judging:
    """What the judge was asked, and what it was like; see `comal.judges.asking.oracle.Counts`."""

    comparisons: int
    questions: int
    failures: int
    failure_rate: float | None
    flip_rate: float | None
    position_bias: float | None


Matrix = tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, slots=True)
class CrossPlayFigures:
    """Everything but the single policies' standings.

    Attributes:
        baseline: the policy that win rates, differences and the leaderboard are against.
        num_prompts: how many.
        pairs: of policies.
        differences: of win rates against the baseline.
        matrix, low, high: win rates of rows against columns with their intervals; None without any verdict.
        game: None where two policies never met.
        elo, judging: see there.
        bootstrap: the resampling of prompts behind the intervals.
    """

    baseline: str
    num_prompts: int
    pairs: tuple[Meeting, ...]
    differences: tuple[Difference, ...]
    matrix: Matrix
    low: Matrix
    high: Matrix
    game: GameFigures | None
    elo: EloFigures
    judging: Judging
    bootstrap: Bootstrap
