"""The journal of a method: one line an instruction carried out, whose reports are the whole resume state."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from comal.algorithms.base import Certify, Copy, ExactOnly, Instruction, Mix, PlayOnline, ProxStep, Report
from comal.errors import RunError


def describe_instruction(instruction: Instruction) -> dict[str, Any]:
    """An instruction as plain JSON values."""
    match instruction:
        case ProxStep():
            opponents = [[weight, dict(mix.weights)] for weight, mix in instruction.opponent.terms]
            return {
                "do": "prox",
                "anchor": dict(instruction.anchor.weights),
                "opponent": opponents,
                "eta": instruction.eta,
                "out": instruction.out,
            }
        case PlayOnline():
            return {"do": "play"} | asdict(instruction)
        case Copy():
            return {"do": "copy", "src": instruction.src, "out": instruction.out}
        case Certify():
            return {"do": "certify"} | asdict(instruction)
        case ExactOnly():
            return {"do": type(instruction).__name__}


def instruction_text(instruction: Instruction) -> str:
    """An instruction in the notation of the papers, for people."""
    match instruction:
        case ProxStep():
            terms = instruction.opponent.terms
            payoff = " ".join(
                f"{weight:+g} P(· ≻ {_mix(mix)})" if len(terms) > 1 else f"P(· ≻ {_mix(mix)})" for weight, mix in terms
            )
            return f"{instruction.out} ← prox of {payoff} from {_mix(instruction.anchor)}, η = {instruction.eta:g}"
        case PlayOnline():
            return (
                f"{instruction.out} ← {instruction.updates} policy-gradient updates against itself, "
                f"τ = {instruction.tau:g} to {instruction.reference}"
            )
        case Copy():
            return f"{instruction.out} ← {instruction.src}"
        case Certify():
            return f"is {instruction.policy} the Nash policy of the game regularised to {instruction.reference}?"
        case ExactOnly():
            return type(instruction).__name__


def _mix(mix: Mix) -> str:
    return " · ".join(role if weight == 1 else f"{role}^{weight:.3g}" for role, weight in mix.weights.items())


@dataclass
class FileJournal:
    """A journal in a file of JSON lines.

    A line torn by a kill is dropped when the file is opened: its instruction is then carried out again, from the
    artifacts of its finished stages.

    Attributes:
        path: the file; made by the first `append`.
        entries: the parsed lines.
    """

    path: Path
    entries: list[dict[str, Any]] = field(init=False)
    metrics: dict[str, Any] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.entries = []
        if not self.path.is_file():
            return
        raw = self.path.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1]
        if whole != raw:
            temporary = self.path.with_name(f".{self.path.name}.tmp-{os.getpid()}")
            temporary.write_bytes(whole)
            temporary.replace(self.path)
        for number, line in enumerate(whole.decode("utf-8").split("\n")[:-1], start=1):
            try:
                self.entries.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise RunError(f"{self.path}:{number}", f"not a line of a journal ({error.msg})") from error

    @property
    def reports(self) -> tuple[Report, ...]:
        """Reports of the instructions carried out so far."""
        return tuple(Report(**entry["report"]) for entry in self.entries)

    def check(self, index: int, instruction: Instruction) -> None:
        """Raise RunError unless line `index` is about `instruction`."""
        written = self.entries[index]["instruction"]
        if written != json.loads(json.dumps(describe_instruction(instruction))):
            raise RunError(
                f"{self.path}:{index + 1}",
                f"the journal says {written}, but the program now says {describe_instruction(instruction)}; "
                "this run was made by another version of the algorithm: use another output folder",
            )

    def append(self, index: int, instruction: Instruction, report: Report) -> None:
        """Write the line of instruction `index` with what `metrics` holds, and make it safe."""
        entry = {
            "index": index,
            "instruction": describe_instruction(instruction),
            "report": {k: v for k, v in asdict(report).items() if v is not None},
            "metrics": self.metrics,
        }
        self.metrics = {}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.entries.append(entry)
