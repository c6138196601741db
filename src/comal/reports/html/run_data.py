"""What a report needs of a run's folder, finished or not: recipe, journals, looks, result and times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comal.algorithms.base import POLICY, REFERENCE, Copy, PlayOnline, ProxStep
from comal.errors import RunError
from comal.evaluation.exploitability.scoreboard import START
from comal.pipeline.disk.journal import JournalEntry, read_entries
from comal.pipeline.disk.provenance import Provenance, Session
from comal.pipeline.disk.timing import read_timing
from comal.pipeline.run.look import Look
from comal.pipeline.run.result import RunResult, read_result
from comal.pipeline.step.sampler import sampler_of
from comal.records import read, read_plain


@dataclass(frozen=True, slots=True)
class JournaledStep:
    """A journaled proximal step.

    Attributes:
        number: steps taken before it.
        folder: its artifacts.
        samples_policy: whether its samples come from the policy as it was before the step.
        slope: achieved over asked change of log-ratios on prompts that were not trained on; None when not measured.
        seconds: by stage.
        comparisons: judged pairs.
        tokens: mean length of the sampled answers.
        unfinished: share of them that hit the length limit.
        kl_reference: of the policy before the step to its reference, nats.
        judge_calls, cache_hits: verdicts asked of the judge and taken from the cache.
    """

    number: int
    folder: Path
    samples_policy: bool
    slope: float | None
    seconds: Mapping[str, float]
    comparisons: int
    tokens: float | None = None
    unfinished: float | None = None
    kl_reference: float | None = None
    judge_calls: int | None = None
    cache_hits: int | None = None


@dataclass(frozen=True, slots=True)
class MethodData:
    """One method of a run.

    Attributes:
        algorithm: its specification in the recipe.
        moves: after how many proximal steps the reference was moved.
        looks: figures on the validation prompts, oldest first.
        done: whether all steps have been taken.
    """

    name: str
    algorithm: Mapping[str, Any]
    steps: tuple[JournaledStep, ...]
    moves: tuple[int, ...]
    looks: tuple[Look, ...]
    done: bool


@dataclass(frozen=True, slots=True)
class RunData:
    """A run as its folder tells it; `result` is None until the final evaluation is done."""

    folder: Path
    version: str
    recipe: Mapping[str, Any]
    methods: tuple[MethodData, ...]
    result: RunResult | None
    timing: Mapping[str, float]
    sessions: tuple[Session, ...]
    supervised: bool

    @property
    def policies(self) -> list[str]:
        """The starting policy and the methods, in the order of tables and colours."""
        return [START, *(m.name for m in self.methods)]


def load_run(folder: Path) -> RunData:
    """Read a run's folder.

    Raises:
        RunError: there is no run, or a file of it cannot be read.
    """
    if folder.is_file():
        raise RunError(str(folder), "this is a file; give the folder of a run")
    if not (folder / "run.json").is_file():
        raise RunError(str(folder), "there is no run here (run.json is missing)")
    written = read_plain(folder / "run.json")
    try:
        recipe = written["recipe"]
        main = str(recipe["algorithm"]["name"]).rpartition(":")[2].lower()
        methods = {main: recipe["algorithm"], **recipe["baselines"]}
        version = str(written["comal"])
    except (KeyError, TypeError) as error:
        raise RunError(str(folder / "run.json"), f"this is not what `comal run` writes ({error} is missing)") from error
    result, provenance = folder / "result.json", folder / "provenance.json"
    return RunData(
        folder,
        version,
        recipe,
        tuple(_method(folder / name, spec) for name, spec in methods.items()),
        read_result(result) if result.is_file() else None,
        read_timing(folder / "timing.json"),
        read(Provenance, provenance).sessions if provenance.is_file() else (),
        (folder / "supervised").is_dir(),
    )


def _method(folder: Path, algorithm: Mapping[str, Any]) -> MethodData:
    steps: list[JournaledStep] = []
    moves = []
    for entry in read_entries(folder / "journal.jsonl"):
        if isinstance(entry.instruction, Copy) and entry.instruction.out == REFERENCE:
            moves.append(len(steps))
        if isinstance(entry.instruction, (ProxStep, PlayOnline)):
            steps.append(_step(folder, len(steps), entry, entry.instruction))
    looks = [read(Look, path) for path in sorted((folder / "looks").glob("[0-9]*.json"))]
    return MethodData(
        folder.name, algorithm, tuple(steps), tuple(moves), tuple(looks), (folder / "final.json").is_file()
    )


def _step(folder: Path, number: int, entry: JournalEntry, instruction: ProxStep | PlayOnline) -> JournaledStep:
    # an online step's first answers are the policy's
    sampler = instruction.out if isinstance(instruction, PlayOnline) else sampler_of(instruction).only_role
    metrics = entry.metrics
    return JournaledStep(
        number,
        folder / "steps" / f"{number:05d}",
        sampler == POLICY,
        metrics.slope,
        metrics.seconds or {},
        metrics.comparisons or 0,
        metrics.mean_tokens,
        metrics.unfinished,
        entry.report.kl_reference,
        metrics.judge_calls,
        metrics.cache_hits,
    )
