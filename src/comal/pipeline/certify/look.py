"""What an exploiter leaves of its looks at the validation prompts (looks/00012.json)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from comal.evaluation.estimates import Estimate
from comal.records import OMITTED, read


@dataclass(frozen=True, slots=True, kw_only=True)
class ExploiterLook:
    """An exploiter on the validation prompts.

    Attributes:
        step: proximal steps taken.
        checkpoint: the step whose checkpoint was looked at; None where nothing had been trained yet.
        win_rate: against the policy that it exploits.
        classes: share of each class of its answers; None without a classifier.
        mean_tokens: of its answers.
        unfinished: share of them that hit the length limit.
    """

    step: int
    checkpoint: str | None
    win_rate: Estimate
    classes: Mapping[str, float] | None = field(default=None, metadata=OMITTED)
    mean_tokens: float
    unfinished: float


def looks_of(folder: Path) -> list[ExploiterLook]:
    """What a finished exploiter's looks measured, in order of steps.

    Raises:
        RunError: a look that cannot be read.
    """
    return [read(ExploiterLook, path) for path in sorted((folder / "looks").glob("[0-9]*.json"))]


def picked_look(looks: Sequence[ExploiterLook]) -> ExploiterLook:
    """The look with the highest win rate on the validation prompts, the earliest of equals."""
    return max(looks, key=lambda look: look.win_rate.mean)


def checkpoint_of(folder: Path, look: ExploiterLook, start: str | Path) -> str | Path:
    """The checkpoint that a look was at; `start` where nothing had been trained yet."""
    return start if look.checkpoint is None else folder / "steps" / look.checkpoint / "checkpoint"
