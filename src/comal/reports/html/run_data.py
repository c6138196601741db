"""What a report needs of a run's folder, finished or not: recipe, journals, looks, result and times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comal.algorithms.base import POLICY, REFERENCE, TARGET
from comal.errors import RunError
from comal.pipeline.disk.files import read_json
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.disk.method_folder import MethodFolder, StepFolder, step_name
from comal.pipeline.disk.progress import journal_entries

START = "start"
"""The starting policy's name in result.json."""


@dataclass(frozen=True, slots=True)
class Step:
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
    steps: tuple[Step, ...]
    moves: tuple[int, ...]
    looks: tuple[Mapping[str, Any], ...]
    done: bool


@dataclass(frozen=True, slots=True)
class RunData:
    """A run as its folder tells it; `result` is None until the final evaluation is done."""

    folder: Path
    version: str
    recipe: Mapping[str, Any]
    methods: tuple[MethodData, ...]
    result: Mapping[str, Any] | None
    timing: Mapping[str, float]
    sessions: tuple[Mapping[str, Any], ...]
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
        tuple(_method(run.method(name), spec) for name, spec in methods.items()),
        optional(run.result_path),
        optional(run.timing_path) or {},
        tuple((optional(run.provenance) or {}).get("sessions", ())),
        run.supervised.is_made,
    )


def artifact(path: Path) -> Any:
    """A JSON file of a run.

    Raises:
        RunError: it is not JSON.
    """
    try:
        return read_json(path)
    except (ValueError, OSError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise RunError(str(path), f"this file of the run cannot be read ({error}); restore or remove it") from error


def optional(path: Path) -> Any:
    """The same, or None where there is no such file."""
    return artifact(path) if path.is_file() else None


def _method(folder: MethodFolder, algorithm: Mapping[str, Any]) -> MethodData:
    try:
        entries = journal_entries(folder.journal)
    except ValueError as error:
        raise RunError(
            str(folder.journal), f"this file of the run cannot be read ({error}); restore or remove it"
        ) from error
    steps: list[Step] = []
    moves = []
    for entry in entries:
        instruction, metrics = entry["instruction"], entry["metrics"]
        if instruction["do"] == "copy" and instruction["out"] == REFERENCE:
            moves.append(len(steps))
        if instruction["do"] in ("prox", "play"):
            sampler = [instruction["out"]]  # an online step's first answers are the policy's
            if instruction["do"] == "prox":
                _, sampler = max(instruction["opponent"], key=lambda term: float(term[0]))
            number = len(steps)
            steps.append(
                Step(
                    number,
                    folder.step(step_name(number)),
                    list(sampler) in ([POLICY], [TARGET]),
                    metrics.get("slope"),
                    metrics.get("seconds", {}),
                    int(metrics.get("comparisons", 0)),
                    metrics.get("mean_tokens"),
                    metrics.get("unfinished"),
                    entry.get("report", {}).get("kl_reference"),
                    metrics.get("judge_calls"),
                    metrics.get("cache_hits"),
                )
            )
    looks = [artifact(path) for path in folder.look_files().values()]
    return MethodData(folder.name, algorithm, tuple(steps), tuple(moves), tuple(looks), folder.is_final)
