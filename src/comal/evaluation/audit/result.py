"""What an audit found, as one frozen object and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from comal.evaluation.audit.agreement import Agreement
from comal.evaluation.audit.foresight import Foresight
from comal.evaluation.audit.length import LengthBias
from comal.evaluation.audit.prompt_cycles import PromptCycles
from comal.evaluation.audit.quality.consistency import SelfConsistency
from comal.evaluation.audit.quality.disagreement import UserDisagreement
from comal.evaluation.audit.quality.information import Information
from comal.evaluation.audit.quality.position import PositionBias
from comal.evaluation.audit.structure import Structure
from comal.records import OMITTED, from_json, read_plain, to_json

Transitivity = Literal["unusable", "too little data", "transitive", "cyclic", "cannot tell", "untested"]


@dataclass(frozen=True, slots=True, eq=False)
class AuditResult:
    """An audit.

    Attributes:
        name: of what was audited.
        raters: who judged; empty for a table of win rates.
        prompts: how many; 0 for a table.
        verdicts: single verdicts asked for, those that failed included.
        failures: of them without a verdict.
        position, length, consistency: biases; None where the data says nothing of them.
        agreement: with human labels, or of several raters with one another.
        structure: of the preferences between systems; None where answers have no system, or there is only one.
        prompt_cycles: among the answers to single prompts; None without prompts that have a judged triple.
        p_value: that the preference is transitive, over both kinds of cycles; None where nothing can be tested.
        verdict: `unusable` and `too little data` come before the shape of the preference; `untested` is a table without
            counts.
        advice: the audit's end, in words.
        information: how much of the verdicts is due to the answers; None where it cannot be measured.
        reasons: why there was no verdict and how often, of a judge that was asked for this audit.
        users: how much the users of a population disagree; None of other judges.
        foresight: what a run's methods would make of the game among the classes of its start's answers; None where no
            such answers were audited, or the recipe names no classes.
    """

    name: str
    raters: tuple[str, ...]
    prompts: int
    verdicts: int
    failures: int
    position: PositionBias | None
    length: LengthBias | None
    consistency: SelfConsistency | None
    agreement: tuple[Agreement, ...]
    structure: Structure | None
    prompt_cycles: PromptCycles | None
    p_value: float | None
    verdict: Transitivity
    advice: tuple[str, ...]
    information: Information | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)
    users: UserDisagreement | None = field(default=None, metadata=OMITTED)
    foresight: Foresight | None = field(default=None, metadata=OMITTED)

    @property
    def failure_rate(self) -> float | None:
        """Share of verdicts that failed; None for a table."""
        return self.failures / self.verdicts if self.verdicts else None

    def to_json(self) -> dict[str, Any]:
        """As plain values; what is not known is null."""
        plain: dict[str, Any] = to_json(self, nan_is_null=True) | {"failure_rate": self.failure_rate}
        if self.structure is not None:
            plain["structure"] |= {"support": list(self.structure.support)}
            plain["structure"]["cycles"] |= {"cyclic_share": self.structure.cycles.cyclic_share}
        return plain

    @classmethod
    def from_json(cls, plain: Any, place: str) -> AuditResult:
        """What `to_json` made, null being NaN again; `place` is the file, for messages.

        Raises:
            RunError: a missing or wrong field.
        """
        result: AuditResult = from_json(cls, plain, place, null_is_nan=True)
        return result


def read_audit(path: Path) -> AuditResult:
    """The audit in a file.

    Raises:
        RunError: there is none.
    """
    return AuditResult.from_json(read_plain(path), str(path))
