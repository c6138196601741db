"""One method of a run: its program on the LLM interpreter, with looks at the validation prompts on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from comal.algorithms.base import POLICY, REFERENCE, Algorithm, Copy, Instruction, Report, Role, Step
from comal.engine import run as run_program
from comal.evaluation.estimates import Estimate
from comal.evaluation.exploitability.adversaries import Adversary
from comal.evaluation.exploitability.scoreboard import START, score_policy
from comal.pipeline.disk.files import write_json
from comal.pipeline.disk.journal import FileJournal
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.disk.look import Look
from comal.pipeline.disk.method_folder import INITIAL, MethodFolder
from comal.pipeline.processes.distributed import on_main
from comal.pipeline.run.resources import evaluation_field
from comal.pipeline.step.interpreter import LanguageModelBackend, StageListener
from comal.pipeline.step.resources import Resources
from comal.pipeline.step.samples import Samples, sample_once, score
from comal.policies.base import Prompt, derive_seed
from comal.records import read, to_json


@dataclass
class Method:
    """Runs one algorithm in its folder until it has taken the recipe's number of proximal steps.

    Attributes:
        given: checkpoints of roles that do not start as the initial policy.
    """

    folder: Path
    algorithm: Algorithm
    resources: Resources
    progress: StageListener
    given: Mapping[Role, str | Path] = field(default_factory=dict)
    artifacts: MethodFolder = field(init=False)
    journal: FileJournal = field(init=False)
    backend: LanguageModelBackend = field(init=False)

    def __post_init__(self) -> None:
        self.artifacts = MethodFolder(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.journal = FileJournal(self.artifacts.journal)
        self.backend = LanguageModelBackend(self.folder, self.resources, self.journal, self.progress, self.given)

    def run(self) -> None:
        """Run or continue to the end; the folder then names the last checkpoint."""
        adapter = _Recorded(self)
        run_program(self.algorithm, self.backend, adapter, adapter.after)
        final, steps = self.backend.roles[POLICY], self.backend.roles.step
        on_main(lambda: self.artifacts.write_final(final, steps))

    def look(self, step: int) -> None:
        """Measure the current policy on the validation prompts, after `step` proximal steps."""
        path = self.artifacts.look(step)
        checkpoint = self.backend.roles[POLICY]
        if path.is_file():
            return
        self.progress.stage("evaluate", step)
        recipe = self.resources.recipe
        prompts = self.resources.splits.validation[: recipe.evaluation.validation_prompts]
        earlier = {taken: look for taken, look in self.artifacts.look_files().items() if taken < step}
        seed = derive_seed(recipe.seed, "look", self.folder.name, step)
        shared = RunFolder(self.folder.parent).validation_answers
        count = recipe.evaluation.samples
        start = self._samples(INITIAL, shared, prompts, count + max(recipe.evaluation.best_of, default=0), recipe.seed)
        now = self._samples(checkpoint, self.artifacts.look_samples(step), prompts, count, seed)
        pool: dict[str, list[list[str]]] = {START: start.part(0, count).texts, "now": now.texts}
        candidates = {START: start.part(count).texts}
        best = max(earlier, key=lambda taken: read(Look, earlier[taken]).win_rate_mean, default=None)
        if earlier:
            pool["previous"] = Samples.load(self.artifacts.look_samples(max(earlier)), prompts).texts
            assert best is not None
            pool["best"] = Samples.load(self.artifacts.look_samples(best), prompts).texts
        logp_now = score(self.resources.store.scorer(self.backend.roles.path(checkpoint)), now)
        logp_start = score(self.resources.store.scorer(self.backend.roles.path(INITIAL)), now)

        def write() -> None:
            field_ = evaluation_field(self.resources, [p.text for p in prompts], start.texts)
            with field_.oracle.counted():
                figures = score_policy(field_, "now", pool, candidates).figures
                counts = field_.oracle.stats.settled()
            wins = {
                name: _complement(figures.adversaries[Adversary("another policy", name)])
                for name in ("previous", "best")
                if name in pool
            }
            result = Look(
                figures=figures,
                win_rate_previous=wins.get("previous"),
                win_rate_best=wins.get("best"),
                step=step,
                checkpoint=checkpoint,
                best_step=best,
                kl_start=float(np.mean(logp_now - logp_start)),
                mean_tokens=now.mean_tokens,
                unfinished=now.unfinished,
                oracle=counts,
            )
            write_json(path, to_json(result))

        on_main(write)

    def _samples(self, checkpoint: str, path: Path, prompts: Sequence[Prompt], count: int, seed: int) -> Samples:
        sampler = None if path.is_file() else self.resources.store.sampler(self.backend.roles.path(checkpoint))
        return sample_once(path, sampler, prompts, count, seed)


@dataclass
class _Recorded:
    """The journal as the engine sees it, with what must happen once an instruction is safe."""

    method: Method
    _replayed: int = field(init=False)
    _ended: int | None = field(init=False)
    _due: set[int] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self._replayed = len(self.method.journal.entries)
        artifacts = self.method.artifacts
        self._ended = artifacts.final().steps if artifacts.is_final else None

    @property
    def reports(self) -> tuple[Report, ...]:
        return self.method.journal.reports

    def append(self, index: int, instruction: Instruction, report: Report) -> None:
        on_main(lambda: self.method.journal.append(index, instruction, report))
        self.method.backend.roles.advance(instruction)

    def after(self, index: int, instruction: Instruction, report: Report) -> bool:  # noqa: ARG002
        """Look at the validation prompts when it is time; whether the method has taken all its steps."""
        method, recipe = self.method, self.method.resources.recipe
        roles = method.backend.roles
        done = roles.step >= recipe.steps
        every = recipe.evaluation.every
        moved = isinstance(instruction, Copy) and instruction.out == REFERENCE
        turn = moved if every is None else isinstance(instruction, Step) and roles.step % every == 0
        if turn:
            self._due.add(roles.step)
        # A method that goes on after its end was looked at there only because it was the end.
        if self._ended is not None and self._ended < roles.step and self._ended not in self._due:
            method.artifacts.remove_look(self._ended)
        if turn or done:
            roles.keep.add(roles[POLICY])
            if index >= self._replayed - 1:
                method.look(roles.step)
        if index >= self._replayed - 1:
            on_main(roles.collect_garbage)
        return done


def _complement(rate: Estimate) -> Estimate:
    return Estimate(1 - rate.mean, 1 - rate.high, 1 - rate.low, rate.prompts, rate.missing)
