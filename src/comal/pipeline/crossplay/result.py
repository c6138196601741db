"""The content of an evaluation's result.json."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from comal.evaluation.crossplay.figures import CrossPlayFigures, Standing
from comal.evaluation.exploitability.several import SeveralAnswers
from comal.evaluation.intervals import Interval
from comal.records import INLINE, OMITTED, from_json, to_json


@dataclass(frozen=True, slots=True)
class Divergence:
    """KL(policy || reference), nats an answer; `reference` is the other policy's name."""

    interval: Interval = field(metadata=INLINE)
    reference: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is known of a policy whose answers were drawn here.

    Attributes:
        kl_reference: None where it has no meaning, or there is no reference.
        mean_tokens: of its answers.
        unfinished: share of them that hit the length limit.
    """

    kl_reference: Divergence | None
    mean_tokens: float
    unfinished: float


@dataclass(frozen=True, slots=True)
class Entrant:
    """A policy of an evaluation.

    Attributes:
        source: where it comes from.
        standing: among the others.
        drawn: None where its answers were there already.
        several: what several of its answers at once are worth to the users of a population; None of other judges.
    """

    source: str
    standing: Standing = field(metadata=INLINE)
    drawn: Drawn | None = field(default=None, metadata=INLINE)
    several: tuple[SeveralAnswers, ...] | None = field(default=None, metadata=OMITTED)


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """What an evaluation found.

    Attributes:
        judge: specification of the one that all win rates are under.
        policies: by name, in the order of the matrix.
        figures: all but the policies' own.
        prompts_digest: of the prompts' texts.
        notes: what a reader must know of the figures.
    """

    format: int
    judge: Mapping[str, Any]
    policies: Mapping[str, Entrant]
    figures: CrossPlayFigures = field(metadata=INLINE)
    prompts_digest: str
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain values, in the order of the file."""
        plain: dict[str, Any] = to_json(self)
        return plain

    @classmethod
    def from_json(cls, plain: Any, place: str) -> EvaluationResult:
        """What `to_json` made; `place` is the file, for messages.

        Raises:
            RunError: a missing or wrong field.
        """
        result: EvaluationResult = from_json(cls, plain, place)
        return result


def digest_of(value: Any) -> str:
    """A short name for JSON's values, the same for equal ones."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
