"""Which checkpoint each role of a program is, where checkpoints lie, and which are still needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from comal.algorithms.base import INITIAL_ROLES, POLICY, Copy, Instruction, Mix, Role, Step
from comal.pipeline.disk.files import remove_folder
from comal.pipeline.disk.method_folder import INITIAL, MethodFolder, StepFolder, step_name


class Roles:
    """The roles of one method and the checkpoints in its folder.

    Args:
        folder: the method's folder; step 7 leaves the checkpoint `00007`.
        initial: where the checkpoint lies that alignment starts from.
        given: checkpoints of roles that do not start as the initial one.

    Attributes:
        step: proximal steps taken, and so the number of the one to come.
        keep: checkpoints that stay although no role names them.
    """

    def __init__(self, folder: Path, initial: str, given: Mapping[Role, str | Path] | None = None) -> None:
        self.folder = MethodFolder(folder)
        self.step = 0
        self.keep: set[str] = set()
        self._initial = initial
        # Named by their paths, so that roles that were given the same checkpoint are known to be the same policy.
        self._given = {str(path): path for path in (given or {}).values() if str(path) != initial}
        names = {role: str(path) for role, path in (given or {}).items() if str(path) in self._given}
        self._names: dict[Role, str] = dict.fromkeys(INITIAL_ROLES, INITIAL) | names

    def __getitem__(self, role: Role) -> str:
        """The checkpoint of a role; a role that was never written starts as the policy."""
        return self._names.get(role, self._names[POLICY])

    def path(self, checkpoint: str) -> str | Path:
        """Where a checkpoint lies."""
        if checkpoint in self._given:
            return self._given[checkpoint]
        return self.folder.policy(checkpoint, self._initial)

    def folder_of(self, checkpoint: str) -> StepFolder:
        """The folder of the step that wrote a checkpoint."""
        return self.folder.step(checkpoint)

    @property
    def folder_of_step(self) -> StepFolder:
        """The folder of the step to come."""
        return self.folder_of(step_name(self.step))

    def mixture(self, mix: Mix) -> dict[str, float]:
        """Weights of the checkpoints that a mixture of roles is of; roles of one checkpoint count together."""
        weights: dict[str, float] = {}
        for role, weight in mix.weights.items():
            weights[self[role]] = weights.get(self[role], 0.0) + weight
        return weights

    def advance(self, instruction: Instruction) -> None:
        """Move the roles as an instruction says that was carried out."""
        if isinstance(instruction, Step):
            self._names[instruction.out] = step_name(self.step)
            self.step += 1
        elif isinstance(instruction, Copy):
            self._names[instruction.out] = self[instruction.src]

    def collect_garbage(self) -> None:
        """Delete checkpoints that no role names and nobody asked to keep, and optimiser states not needed again."""
        live = set(self._names.values()) | self.keep
        for step in self.folder.step_folders():
            checkpoint = step.path.name
            if checkpoint >= step_name(self.step):
                continue
            if checkpoint not in live:
                remove_folder(step.checkpoint)
            if checkpoint != self[POLICY]:
                step.remove_optimizer()
