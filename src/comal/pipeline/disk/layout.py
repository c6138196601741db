"""What a run leaves on disk: the one place that knows its files.

run.json               what is run: format, version, the whole recipe
imports.json           where the modules of the user's own are that the recipe names, if it names any
provenance.json        versions, machine and command of every session that worked on it
timing.json            seconds by part, over all sessions
progress.json          what it is doing right now
door.json              how well sampler and scorer of its policies agree
engine-0.log           what the sampling engine of process 0 said, where it is a process of its own
data/                  prompts.json, what became of long ones, and pairs.json for the supervised stage; batches.json
                       says that several processes share a batch, which older runs do not
dequantised/           the recipe's model as a standard checkpoint, where it comes as a GGUF file
supervised/            the starting policy's checkpoint (absent when the recipe brings a chat model)
start/                 the starting policy's checkpoint where the recipe brings an adapter: merged into its base
.supervised-trainer/   what its training goes on from, while it lasts
<method>/              see `comal.pipeline.disk.method_folder`
evaluation/            answers to the test prompts, and the start's to the validation prompts
model/                 the aligned model
adapter/               what was trained of it, where that is an adapter
verdicts.sqlite        verdicts of an expensive judge, unless they are kept elsewhere
spend.sqlite           what a metered judge has cost
result.json, report.html
audit.json             figures of its judge, if somebody audited it
certify/               certificates of its policies, see `comal.pipeline.disk.certification_folder`
*-after-12-steps*      former figures and certificates of a run that was extended

Paths are properties or methods here, and what is read and written by more than one module has its reader and writer.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pydantic

from comal.errors import RunError
from comal.importing import search
from comal.judges.kept.cache import FILE_NAME, SPEND_NAME, shared_cache_path
from comal.models.gguf import PACKAGE, SUFFIX, is_gguf
from comal.pipeline.data.prompts import Pair, PromptSplits
from comal.pipeline.disk.files import read_json, write_json
from comal.pipeline.disk.method_folder import MethodFolder
from comal.pipeline.disk.result import RunResult, read_result
from comal.pipeline.disk.timing import read_timing
from comal.pipeline.disk.work_folder import MarkedFolder, WorkFolder
from comal.policies.adapter_folder import is_adapter
from comal.policies.base import Prompt
from comal.reading.paths import user_path
from comal.recipes.settings import Recipe

RUNS = Path("runs")
"""Where runs, certifications of models and experiments go unless a user says otherwise."""
COMPARISON = Path("comparison.html")
"""Where the page that compares several runs goes then."""

_DATA, _EVALUATION, _MODEL, _ADAPTER = "data", "evaluation", "model", "adapter"
_SUPERVISED, _START = "supervised", "start"
_DEQUANTISED = "dequantised"
ANSWERS = "answers"
"""Folder of a certification with the answers to its fresh prompts."""
_SPLITS = ("train", "validation", "test")

RUN_FOLDERS = frozenset({_DATA, _DEQUANTISED, _EVALUATION, _MODEL, _ADAPTER, _SUPERVISED, _START})
"""Names of folders in a run's that are no methods'."""
HOME_FOLDERS = frozenset({_DATA, _DEQUANTISED, _SUPERVISED, _START})
"""Those of them that any folder with prompts and a starting model has."""


@dataclass(frozen=True, slots=True)
class MadeFolder:
    """Where a model is made that a run begins with, or was; it appears whole.

    Attributes:
        path: the checkpoint's.
    """

    path: Path

    @property
    def is_made(self) -> bool:
        """Whether the model is there."""
        return self.path.is_dir()


@dataclass(frozen=True, slots=True)
class SupervisedFolder(MadeFolder):
    """The model of the supervised stage."""

    @property
    def state(self) -> Path:
        """What its training goes on from; it lies beside the model, which appears whole."""
        return self.path.parent / ".supervised-trainer"

    @property
    def summary(self) -> Path:
        """Loss and number of pairs of its training."""
        return self.path / "supervised.json"


@dataclass(frozen=True, slots=True)
class DequantisedFolder(MadeFolder):
    """The model of a GGUF file as a standard checkpoint."""

    @property
    def summary(self) -> Path:
        """What it was made from: the model's name in the recipe, and what the file held."""
        return self.path / "gguf.json"


def dequantised_model(name: str) -> DequantisedFolder:
    """Where the model of a GGUF file goes that is certified by itself, and not as the start of a run."""
    stem = re.sub(r"[^\w.-]+", "-", name.removeprefix(PACKAGE).removesuffix(SUFFIX).rpartition("/")[2])
    return DequantisedFolder(RUNS / f"{_DEQUANTISED}-{stem}")


def whole_mark(checkpoint: Path) -> Path:
    """The file that says of a checkpoint within `SupervisedFolder.state` that it is whole."""
    return checkpoint / "whole.json"


@dataclass(frozen=True, slots=True)
class HomeFolder(WorkFolder):
    """A folder with the prompts and the starting model that methods share, and what the judge said about them."""

    # Prompts.

    @property
    def has_prompts(self) -> bool:
        """Whether the prompts are prepared."""
        return self._prompts.is_file()

    @property
    def has_pairs(self) -> bool:
        """Whether the pairs of the supervised stage are."""
        return self._pairs.is_file()

    @property
    def _prompts(self) -> Path:
        return self.path / _DATA / "prompts.json"

    @property
    def _pairs(self) -> Path:
        return self.path / _DATA / "pairs.json"

    def prompts(self) -> PromptSplits:
        """The prompts, in the order in which they are used.

        Raises:
            RunError: they are not prepared yet.
        """
        if not self.has_prompts:
            raise RunError(str(self.path), "the run has not prepared its prompts yet")
        plain = read_json(self._prompts)
        return PromptSplits(*(tuple(Prompt(tuple(messages)) for messages in plain[name]) for name in _SPLITS))

    def write_prompts(self, splits: PromptSplits) -> None:
        """Write them."""
        plain = {name: [[dict(m) for m in p.messages] for p in getattr(splits, name)] for name in _SPLITS}
        write_json(self._prompts, plain)

    def pairs(self) -> list[Pair]:
        """The pairs of the supervised stage."""
        return [Pair(Prompt(tuple(row["messages"])), row["answer"]) for row in read_json(self._pairs)]

    def write_pairs(self, pairs: Iterable[Pair]) -> None:
        """Write them."""
        rows = [{"messages": [dict(m) for m in p.prompt.messages], "answer": p.answer} for p in pairs]
        write_json(self._pairs, rows)

    @property
    def _long_prompts(self) -> Path:
        return self.path / _DATA / "long_prompts.json"

    def long_prompts(self) -> dict[str, Any] | None:
        """What became of prompts that are longer than the policy reads; None before it was looked at."""
        return read_json(self._long_prompts) if self._long_prompts.is_file() else None

    def write_long_prompts(self, found: Mapping[str, Any]) -> None:
        """Write it."""
        write_json(self._long_prompts, found)

    @property
    def drew_answers(self) -> bool:
        """Whether answers to the prompts were drawn already, by a run's methods or a certification's."""
        drawn = ("*/steps", "*/*/steps", _EVALUATION, ANSWERS)
        return any(found for pattern in drawn for found in self.path.glob(pattern))

    def forget_preparations(self) -> None:
        """Remove the prompts and pairs, and a start that was merged, so that they are prepared anew."""
        for name in (_DATA, _START):
            shutil.rmtree(self.path / name, ignore_errors=True)

    # Batches.

    @property
    def _batches(self) -> Path:
        return self.path / _DATA / "batches.json"

    @property
    def shares_batches(self) -> bool:
        """Whether all processes share the batch of an optimiser step; in older folders each has its own."""
        return self._batches.is_file()

    def mark_batches_shared(self) -> None:
        """Let it be so; before the prompts are written, so that what is half prepared is prepared anew."""
        write_json(self._batches, {"batch": "of all processes"})

    # The starting model.

    @property
    def supervised(self) -> SupervisedFolder:
        """The starting model, where a supervised stage makes it."""
        return SupervisedFolder(self.path / _SUPERVISED)

    @property
    def merged_start(self) -> Path:
        """The starting model, where the recipe names an adapter."""
        return self.path / _START

    @property
    def dequantised(self) -> DequantisedFolder:
        """The recipe's model, where it comes as a GGUF file."""
        return DequantisedFolder(self.path / _DEQUANTISED)

    def start(self, recipe: Recipe) -> str | Path:
        """The starting model of a recipe: made here, or what the recipe names."""
        return self.supervised.path if recipe.supervised is not None else self.named_model(recipe)

    def named_model(self, recipe: Recipe) -> str | Path:
        """The model that a recipe names, before any training: of a GGUF file the checkpoint that is made of it here."""
        assert recipe.policy.model is not None
        if self.merged_start.is_dir() or is_adapter(recipe.policy.model):
            return self.merged_start
        return self.dequantised.path if is_gguf(recipe.policy.model) else recipe.policy.model

    # Modules of the user's own.

    @property
    def _imports(self) -> Path:
        return self.path / "imports.json"

    def write_imports(self, folders: Sequence[Path]) -> None:
        """Remember the folders of the modules that the work here imports; nothing is written where there are none.

        They are written as seen from this one: a project that is moved with its runs is still whole.
        """
        plain = {"folders": [os.path.relpath(folder.resolve(), self.path.resolve()) for folder in folders]}
        if folders and not (self._imports.is_file() and read_json(self._imports) == plain):
            write_json(self._imports, plain)

    def search_imports(self) -> None:
        """Look for named modules where `write_imports` said, see `comal.importing`.

        A folder within this one is passed over: nothing that is named by a run lies there when it begins.

        Raises:
            RunError: the file cannot be read.
        """
        if not self._imports.is_file():
            return
        try:
            folders = [self.path.resolve() / str(folder) for folder in read_json(self._imports)["folders"]]
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(str(self._imports), f"cannot be read ({error}); remove it") from error
        for folder in folders:
            if not folder.resolve().is_relative_to(self.path.resolve()):
                search(folder)

    # Time and verdicts.

    @property
    def timing_path(self) -> Path:
        """Seconds by part."""
        return self.path / "timing.json"

    def timing(self) -> Mapping[str, float]:
        """Seconds by part, over all sessions; none before the first has ended.

        Raises:
            RunError: the file cannot be read.
        """
        return read_timing(self.timing_path)

    def add_seconds(self, part: str, seconds: float) -> None:
        """Add to a part's seconds."""
        known = self.timing()
        write_json(self.timing_path, dict(known) | {part: round(known.get(part, 0.0) + seconds, 2)})

    def verdicts(self, setting: str = "run") -> Path:
        """The file that a recipe's `verdict_cache` names: `run` (in this folder), `shared`, or a path."""
        if setting == "run":
            return self.path / FILE_NAME
        return shared_cache_path() if setting == "shared" else user_path(setting)

    @property
    def spend(self) -> Path:
        """What a metered judge has cost here."""
        return self.path / SPEND_NAME


@dataclass(frozen=True, slots=True)
class RunFolder(HomeFolder, MarkedFolder):
    """A run's artifacts."""

    MARKER: ClassVar[str] = "run.json"
    HOLDS: ClassVar[str] = "run"
    WORK: ClassVar[tuple[str, ...]] = (_SUPERVISED, "*/steps", _EVALUATION, "result.json")

    def recipe(self) -> Recipe:
        """The recipe of the run; the modules that it names are found from now on.

        Raises:
            RunError: there is no run, or one of another version of comal.
        """
        written = self.written()
        self.search_imports()
        try:
            return Recipe.model_validate(written["recipe"])
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            place = ".".join(["recipe", *map(str, first["loc"])])
            whose = f"a recipe of comal {written['comal']}" if "comal" in written else "its recipe"
            raise self.unreadable(f"{whose} is not one of this comal's: {place}: {first['msg']}") from error

    def method(self, name: str) -> MethodFolder:
        """The folder of a method."""
        return MethodFolder(self.path / name)

    @property
    def provenance(self) -> Path:
        """Who made it; see `comal.pipeline.disk.provenance`."""
        return self.path / "provenance.json"

    # The final evaluation.

    def answers(self, policy: str) -> Path:
        """Answers of a policy to the test prompts."""
        return self.path / _EVALUATION / f"{policy}.parquet"

    @property
    def validation_answers(self) -> Path:
        """Answers of the starting model to the validation prompts."""
        return self.path / _EVALUATION / "validation-start.parquet"

    def last_answers(self) -> list[Path]:
        """Answers of the start and of methods' last policies, not of those that were looked at half-way."""
        found = sorted(self.answers("*").parent.glob(self.answers("*").name))
        return [path for path in found if path != self.validation_answers and "@" not in path.stem]

    def step_samples(self) -> list[Path]:
        """Answers that were drawn to be trained on, step by step."""
        steps = (step for method in self.path.glob("*") for step in MethodFolder(method).step_folders())
        found = [step.samples for step in steps if step.samples.is_file()]
        return sorted(found, key=lambda path: (path.parent.name, path.parts))

    @property
    def model(self) -> Path:
        """The aligned model."""
        return self.path / _MODEL

    @property
    def adapter(self) -> Path:
        """What was trained of it, where that is an adapter."""
        return self.path / _ADAPTER

    # What comes of it.

    @property
    def result_path(self) -> Path:
        """All figures of the final evaluation."""
        return self.path / "result.json"

    @property
    def is_finished(self) -> bool:
        """Whether the final evaluation is done."""
        return self.result_path.is_file()

    def result(self) -> RunResult:
        """The figures of the final evaluation.

        Raises:
            RunError: the file cannot be read.
        """
        return read_result(self.result_path)

    def write_result(self, result: RunResult) -> None:
        """Write them."""
        write_json(self.result_path, result.to_json())

    @property
    def report(self) -> Path:
        """The run's page."""
        return self.path / "report.html"

    @property
    def audit(self) -> Path:
        """Figures of its judge."""
        return self.path / "audit.json"

    @property
    def certification(self) -> Path:
        """The folder of its policies' certificates."""
        return self.path / "certify"

    # What was before the run was extended.

    def earlier_result(self, steps: int) -> Path:
        """The figures of its policies after so many steps."""
        return self.path / f"result-after-{steps}-steps.json"

    def earlier_certification(self, steps: int) -> Path:
        """The folder of their certificates."""
        return self.path / f"certify-after-{steps}-steps"

    def earlier_certifications(self) -> list[Path]:
        """Such folders, those after few steps first."""
        return sorted(self.path.glob("certify-after-*-steps"), key=lambda path: int(path.name.split("-")[2]))
