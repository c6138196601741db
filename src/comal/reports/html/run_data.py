"""What a report needs of a run's folder, finished or not: recipe, journals, looks, result and times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comal.algorithms.base import POLICY, REFERENCE, Copy, PlayOnline, ProxStep
from comal.evaluation.exploitability.scoreboard import START
from comal.pipeline.disk.journal import JournalEntry, read_entries
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.disk.look import Look
from comal.pipeline.disk.method_folder import MethodFolder, StepFolder, step_name
from comal.pipeline.disk.provenance import Provenance, Session
from comal.pipeline.disk.result import RunResult
from comal.pipeline.step.sampler import sampler_of
from comal.records import read


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
    folder: StepFolder
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
    run = RunFolder(folder)
    written, checked = run.written(), run.recipe()
    if not isinstance(checked.algorithm, Mapping):
        raise run.unreadable("its algorithm has no name")
    recipe = written["recipe"]
    main = str(checked.algorithm.get("name")).rpartition(":")[2].lower()
    methods = {main: recipe["algorithm"], **recipe["baselines"]}
    return RunData(
        folder,
        str(written.get("comal", "unknown")),
        recipe,
        tuple(_method(run.method(name), spec, checked.steps) for name, spec in methods.items()),
        run.result() if run.is_finished else None,
        run.timing(),
        read(Provenance, run.provenance).sessions if run.provenance.is_file() else (),
        run.supervised.is_made,
    )


def _method(folder: MethodFolder, algorithm: Mapping[str, Any], total: int) -> MethodData:
    steps: list[JournaledStep] = []
    moves = []
    for entry in read_entries(folder.journal):
        if isinstance(entry.instruction, Copy) and entry.instruction.out == REFERENCE:
            moves.append(len(steps))
        if isinstance(entry.instruction, (ProxStep, PlayOnline)):
            steps.append(_step(folder, len(steps), entry, entry.instruction))
    done = folder.has_taken(total)
    return MethodData(folder.name, algorithm, tuple(steps), tuple(moves), tuple(folder.looks()), done)


def _step(folder: MethodFolder, number: int, entry: JournalEntry, instruction: ProxStep | PlayOnline) -> JournaledStep:
    # an online step's first answers are the policy's
    sampler = instruction.out if isinstance(instruction, PlayOnline) else sampler_of(instruction).only_role
    metrics = entry.metrics
    return JournaledStep(
        number,
        folder.step(step_name(number)),
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
