"""What a method leaves: its folder in a run's, an exploiter's in a certification's, and those of its steps.

journal.jsonl          one line an instruction carried out
progress.json          what it is doing right now
steps/00012/           a proximal step
looks/00012.json       figures on the validation prompts after 12 steps, beside the answers they are of
certificates/00012/    answers and verdicts of the sampled certificate that instruction 12 asks for
final.json             which checkpoint is the last one, once all steps are taken
worker.log, error.json what its process said and which mistake ended it, where it had one of its own

A step's folder:

samples.parquet        answers to the prompts of the step
opponent-*.parquet     answers of an opponent that is another policy
verdicts-*.parquet     what the judge said, by number of the opponent
targets.parquet        win rates and log-probabilities that are trained on
trained.json           what was measured on the way
checkpoint/            the policy after the step
optimizer.pt           the optimiser's state, where the next step needs it; optimizer/ holds that of a sharded model
trainer/               the trainer's own, while it lasts
updates/               of an online step: answers and verdicts of all updates after the first
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comal.pipeline.disk.files import read_json, remove_folder, write_json
from comal.pipeline.disk.look import Final, Look
from comal.pipeline.disk.work_folder import WorkFolder
from comal.records import read, to_json

INITIAL = "initial"
"""Name of the checkpoint that alignment starts from, which lies in no step's folder."""


def step_name(step: int) -> str:
    """Of step number `step` (from 0), and of the checkpoint that it leaves."""
    return f"{step:05d}"


@dataclass(frozen=True, slots=True)
class StepFolder:
    """A step's artifacts, in a folder.

    Attributes:
        path: the folder's.
    """

    path: Path

    @property
    def samples(self) -> Path:
        """Answers to the prompts of the step; of an online one, of its first update."""
        return self.path / "samples.parquet"

    @property
    def targets(self) -> Path:
        """What is trained on."""
        return self.path / "targets.parquet"

    @property
    def checkpoint(self) -> Path:
        """The policy after the step."""
        return self.path / "checkpoint"

    @property
    def optimizer(self) -> Path:
        """The optimiser's state after the step."""
        return self.path / "optimizer.pt"

    @property
    def optimizer_shards(self) -> Path:
        """The same of a sharded model, in the shards that each process has written."""
        return self.path / "optimizer"

    def remove_optimizer(self) -> None:
        """Remove either."""
        self.optimizer.unlink(missing_ok=True)
        remove_folder(self.optimizer_shards)

    @property
    def trainer(self) -> Path:
        """The trainer's own files, while it lasts."""
        return self.path / "trainer"

    @property
    def is_trained(self) -> bool:
        """Whether the step's policy is there, and what was measured of it."""
        return self._trained.is_file() and self.checkpoint.is_dir()

    @property
    def _trained(self) -> Path:
        return self.path / "trained.json"

    def trained(self) -> dict[str, Any]:
        """What was measured in training."""
        found: dict[str, Any] = read_json(self._trained)
        return found

    def write_trained(self, values: Mapping[str, Any]) -> None:
        """Write it."""
        write_json(self._trained, values)

    def opponent(self, label: str) -> Path:
        """Answers of an opponent that is another policy."""
        return self.path / f"opponent-{label}.parquet"

    def verdicts(self, opponent: int) -> Path:
        """What the judge said about the samples and those of opponent number `opponent`."""
        return self.path / f"verdicts-{opponent}.parquet"

    def samples_of_update(self, update: int) -> Path:
        """Answers of an online step's update; the first one's are the policy's as the step begins, as in any step."""
        return self._update(update).samples if update == 0 else self._with_number(self._update(update).samples, update)

    def verdicts_of_update(self, update: int) -> Path:
        """What the judge said about them."""
        path = self._update(update).verdicts(0)
        return path if update == 0 else self._with_number(path, update)

    def _update(self, update: int) -> StepFolder:
        return self if update == 0 else StepFolder(self.path / "updates")

    def _with_number(self, path: Path, update: int) -> Path:
        return path.with_name(f"{update:05d}-{path.name}")

    def remove_updates(self) -> None:
        """Remove what an online step that was killed has left: it begins anew."""
        for left in (self.samples_of_update(0), self.verdicts_of_update(0)):
            left.unlink(missing_ok=True)
        remove_folder(self._update(1).path)

    def all_samples(self) -> list[Path]:
        """Files of answers that the step drew to be trained on; an online step draws at every update."""
        if not self.samples.is_file():
            return []
        return [self.samples, *self._update(1).path.glob(f"*-{self.samples.name}")]

    def all_verdicts(self) -> list[Path]:
        """Files of verdicts, by number of the opponent."""
        return sorted(self.path.glob("verdicts-*.parquet"))

    def judged_answers(self) -> list[Path]:
        """Files of answers that `all_verdicts` are about."""
        return sorted([*self.path.glob("samples.parquet"), *self.path.glob("opponent-*.parquet")])


@dataclass(frozen=True, slots=True)
class CertificateFolder:
    """What one sampled certificate is computed from.

    Attributes:
        path: the folder's.
    """

    path: Path

    @property
    def policy(self) -> Path:
        """The policy's answers."""
        return self.path / "policy.parquet"

    @property
    def reference(self) -> Path:
        """The reference's answers."""
        return self.path / "reference.parquet"

    @property
    def verdicts(self) -> Path:
        """The reference's answers against the policy's."""
        return self.path / "verdicts.parquet"


@dataclass(frozen=True, slots=True)
class MethodFolder(WorkFolder):
    """A method's artifacts."""

    @property
    def name(self) -> str:
        """The method's."""
        return self.path.name

    @property
    def journal(self) -> Path:
        """One line an instruction; see `comal.pipeline.disk.journal`."""
        return self.path / "journal.jsonl"

    @property
    def log(self) -> Path:
        """What the method's own process wrote to its terminal."""
        return self.path / "worker.log"

    @property
    def error(self) -> Path:
        """The user's mistake that ended the method's own process."""
        return self.path / "error.json"

    # Steps and checkpoints.

    @property
    def steps(self) -> Path:
        """Where the steps' folders lie."""
        return self.path / "steps"

    def step(self, checkpoint: str) -> StepFolder:
        """The folder of the step that leaves a checkpoint of this name."""
        return StepFolder(self.steps / checkpoint)

    def step_folders(self) -> list[StepFolder]:
        """Those of the steps that were begun, in order."""
        return [StepFolder(path) for path in sorted(self.steps.glob("[0-9]*"))]

    def policy(self, checkpoint: str, start: str | Path) -> str | Path:
        """Where a checkpoint lies; `start` is where the initial one does."""
        return start if checkpoint == INITIAL else self.step(checkpoint).checkpoint

    def certificate(self, index: int) -> CertificateFolder:
        """What instruction number `index`, which asks for a certificate, left."""
        return CertificateFolder(self.path / "certificates" / f"{index:05d}")

    # Looks.

    @property
    def _looks(self) -> Path:
        return self.path / "looks"

    def look(self, step: int) -> Path:
        """Figures on the validation prompts after `step` steps."""
        return self._looks / f"{step:05d}.json"

    def look_samples(self, step: int) -> Path:
        """The answers that they are of."""
        return self._looks / f"{step:05d}.parquet"

    def look_files(self) -> dict[int, Path]:
        """Figures there are, by number of steps, in order."""
        return dict(sorted((int(path.stem), path) for path in self._looks.glob("[0-9]*.json")))

    def looks(self) -> list[Look]:
        """What the looks measured, in order of steps.

        Raises:
            RunError: a look that cannot be read.
        """
        return [read(Look, path) for path in self.look_files().values()]

    def look_after(self, step: int) -> Look:
        """What the look after `step` steps measured.

        Raises:
            RunError: it cannot be read.
        """
        return read(Look, self.look(step))

    def remove_look(self, step: int) -> None:
        """Forget the look after `step` steps."""
        for path in (self.look(step), self.look_samples(step)):
            path.unlink(missing_ok=True)

    # The end.

    @property
    def _final(self) -> Path:
        return self.path / "final.json"

    @property
    def is_final(self) -> bool:
        """Whether it has ended, after however many steps."""
        return self._final.is_file()

    def has_taken(self, steps: int) -> bool:
        """Whether it has ended after so many steps at least: a run that is extended has ended before and goes on.

        Raises:
            RunError: the file cannot be read.
        """
        return self.is_final and self.final().steps >= steps

    def final(self) -> Final:
        """How it ended.

        Raises:
            RunError: the file cannot be read.
        """
        return read(Final, self._final)

    def write_final(self, checkpoint: str, steps: int) -> None:
        """Say that all steps are taken."""
        write_json(self._final, to_json(Final(checkpoint, steps, tuple(self.look_files()))))
