"""What a method leaves of its looks at the validation prompts (looks/00012.json), and of its end (final.json)."""

from __future__ import annotations

from dataclasses import dataclass, field

from comal.evaluation.estimates import Estimate
from comal.evaluation.exploitability.scoreboard import PolicyFigures
from comal.judges.asking.oracle import Counts
from comal.records import INLINE, OMITTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A method's policy on the validation prompts.

    Attributes:
        figures: who beats it how often; `previous` and `best` are policies of earlier looks.
        win_rate_previous, win_rate_best: against the policies of the last and the best look before; None at the first.
        step: proximal steps taken.
        checkpoint: the step whose checkpoint was looked at, or `initial`.
        best_step: of the look whose policy is `best`.
        kl_start: KL(policy || starting policy), nats an answer.
        mean_tokens: of its answers.
        unfinished: share of them that hit the length limit.
        oracle: what the judge was asked; None in looks of older versions.
    """

    figures: PolicyFigures = field(metadata=INLINE)
    win_rate_previous: Estimate | None = field(default=None, metadata=OMITTED)
    win_rate_best: Estimate | None = field(default=None, metadata=OMITTED)
    step: int
    checkpoint: str
    best_step: int | None = None
    kl_start: float
    mean_tokens: float
    unfinished: float
    oracle: Counts | None = field(default=None, metadata=OMITTED)

    @property
    def win_rate_mean(self) -> float:
        """Against the start, to pick the best look by; without any verdict on it a look is not picked."""
        return float("-inf") if self.figures.win_rate is None else self.figures.win_rate.mean


@dataclass(frozen=True, slots=True)
class Final:
    """The end of a method.

    Attributes:
        checkpoint: the step with its last checkpoint, or `initial`.
        steps: proximal steps taken.
        looks: after how many steps it was looked at.
    """

    checkpoint: str
    steps: int
    looks: tuple[int, ...]
