"""The journal of a method: one line an instruction carried out, whose reports are the whole resume state."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

from comal.algorithms.base import (
    Certify,
    Copy,
    ExactOnly,
    ForwardKLStep,
    Instruction,
    Mix,
    Opponents,
    PlayOnline,
    ProxStep,
    Report,
    StackelbergStep,
    Step,
)
from comal.errors import RunError
from comal.records import OMITTED, from_json, to_json

_NAMES: dict[type[Instruction], str] = {ProxStep: "prox", PlayOnline: "play", Copy: "copy", Certify: "certify"}
_STEPS = frozenset(_NAMES[kind] for kind in get_args(Step))


def describe_instruction(instruction: Instruction) -> dict[str, Any]:
    """An instruction as plain JSON values; `read_instruction` is its inverse."""
    match instruction:
        case ProxStep():
            opponents = [[weight, dict(mix.weights)] for weight, mix in instruction.opponent.terms]
            return {
                "do": _NAMES[ProxStep],
                "anchor": dict(instruction.anchor.weights),
                "opponent": opponents,
                "eta": instruction.eta,
                "out": instruction.out,
            } | _more_of(instruction)
        case PlayOnline():
            return {"do": _NAMES[PlayOnline]} | asdict(instruction)
        case Copy():
            return {"do": _NAMES[Copy], "src": instruction.src, "out": instruction.out}
        case Certify():
            return {"do": _NAMES[Certify]} | asdict(instruction)
        case ExactOnly():
            return {"do": type(instruction).__name__}


def _more_of(step: ProxStep) -> dict[str, Any]:
    """What a step has that the plain one has not, but for what its loss says."""
    match step:
        case ForwardKLStep():
            return {"forward": step.forward, "covered": step.covered}
        case StackelbergStep():
            return {"follower_tau": step.follower_tau}
        case _:
            return {}


def is_step(described: Mapping[str, Any]) -> bool:
    """Whether an instruction, as `describe_instruction` gives it, is one of those that a recipe's `steps` counts."""
    return described["do"] in _STEPS


def read_instruction(plain: Any, place: str) -> Instruction:
    """The instruction that `describe_instruction` described; of a step that says no more the plain one.

    Args:
        plain: JSON's values.
        place: the journal and its line, for messages.

    Raises:
        RunError: it is none.
    """
    kind = plain.get("do") if isinstance(plain, Mapping) else None
    if kind == "prox":
        found: _Prox = from_json(_Prox, plain, place)
        try:
            opponents = tuple((weight, Mix(weights)) for weight, weights in found.opponent)
            step = (Mix(found.anchor), Opponents(opponents), found.eta, found.out)
            if found.forward is not None and found.covered is not None:
                return ForwardKLStep(*step, forward=found.forward, covered=found.covered)
            if found.follower_tau is not None:
                return StackelbergStep(*step, follower_tau=found.follower_tau)
            return ProxStep(*step)
        except ValueError as error:
            raise RunError(place, f"not a line of a journal ({error})") from error
    if not isinstance(kind, str) or kind not in _PLAIN:
        raise RunError(place, f"not a line of a journal (there is no instruction {kind!r})")
    instruction: Instruction = from_json(_PLAIN[kind], plain, place)
    return instruction


@dataclass(frozen=True, slots=True)
class _Prox:
    anchor: Mapping[str, float]
    opponent: tuple[tuple[float, Mapping[str, float]], ...]
    eta: float
    out: str
    forward: float | None = None
    covered: str | None = None
    follower_tau: float | None = None


_PLAIN: Mapping[str, type] = {"play": PlayOnline, "copy": Copy, "certify": Certify}


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """What an interpreter measured while it carried an instruction out; None where it did not, or an older one did not.

    Attributes:
        judge_calls, cache_hits: verdicts asked of the judge and taken from the cache.
        comparisons: judged pairs of answers.
        seconds: by stage.
        loss, start_gap, optimizer_steps: of the training.
        mean_tokens: of the sampled answers.
        unfinished: share of them that hit the length limit.
        dropped_prompts: those without enough verdicts.
        slope: achieved over asked change of log-ratios on prompts that were not trained on.
        kl_moved: KL of the policy after the step to that before, nats.
        certificate, certificate_stderr: KL to the best response, nats.
        step: proximal steps taken before.
    """

    judge_calls: int | None = field(default=None, metadata=OMITTED)
    cache_hits: int | None = field(default=None, metadata=OMITTED)
    comparisons: int | None = field(default=None, metadata=OMITTED)
    seconds: Mapping[str, float] | None = field(default=None, metadata=OMITTED)
    loss: float | None = field(default=None, metadata=OMITTED)
    start_gap: float | None = field(default=None, metadata=OMITTED)
    optimizer_steps: int | None = field(default=None, metadata=OMITTED)
    mean_tokens: float | None = field(default=None, metadata=OMITTED)
    unfinished: float | None = field(default=None, metadata=OMITTED)
    dropped_prompts: int | None = field(default=None, metadata=OMITTED)
    slope: float | None = field(default=None, metadata=OMITTED)
    kl_moved: float | None = field(default=None, metadata=OMITTED)
    certificate: float | None = field(default=None, metadata=OMITTED)
    certificate_stderr: float | None = field(default=None, metadata=OMITTED)
    step: int | None = field(default=None, metadata=OMITTED)


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A line of a journal: an instruction, what was reported to its program, and what was measured on the way."""

    index: int
    instruction: Instruction
    report: Report
    metrics: Metrics

    def to_json(self) -> dict[str, Any]:
        """As plain values; a journal's own lines have the metrics in the order in which they came."""
        return {
            "index": self.index,
            "instruction": describe_instruction(self.instruction),
            "report": {name: value for name, value in asdict(self.report).items() if value is not None},
            "metrics": to_json(self.metrics),
        }

    @classmethod
    def from_json(cls, plain: Any, place: str) -> JournalEntry:
        """What `FileJournal` wrote; `place` is the journal and the line, for messages.

        Raises:
            RunError: a missing or wrong field.
        """
        line: _Line = from_json(_Line, plain, place)
        return cls(line.index, read_instruction(line.instruction, place), line.report, line.metrics)


@dataclass(frozen=True, slots=True)
class _Line:
    index: int
    instruction: Any
    report: Report
    metrics: Metrics


def read_entries(path: Path) -> tuple[JournalEntry, ...]:
    """The whole lines of a journal that may be in use; a last one that is under way does not count.

    Raises:
        RunError: the file cannot be read, or a line is none of a journal.
    """
    if not path.is_file():
        return ()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(str(path), f"this file cannot be read ({error}); restore or remove it") from error
    found = []
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            plain = json.loads(line)
        except json.JSONDecodeError as error:
            raise RunError(str(path), f"line {number} is not a line of a journal ({error.msg})") from error
        found.append(JournalEntry.from_json(plain, f"{path}:{number}"))
    return tuple(found)


def instruction_text(instruction: Instruction) -> str:
    """An instruction in the notation of the papers, for people."""
    match instruction:
        case ProxStep():
            terms = instruction.opponent.terms
            payoff = " ".join(
                f"{weight:+g} P(· ≻ {_mix(mix)})" if len(terms) > 1 else f"P(· ≻ {_mix(mix)})" for weight, mix in terms
            )
            more = "".join(f", {name} {value}" for name, value in _more_of(instruction).items())
            text = f"{instruction.out} ← prox of {payoff} from {_mix(instruction.anchor)}, η = {instruction.eta:g}"
            return text + more
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
