"""A whole run: supervised stage, methods, final evaluation; every part is skipped when its artifact is there."""

from __future__ import annotations

import contextlib
from pathlib import Path

import comal
from comal.errors import ConfigError
from comal.importing import folders_of
from comal.pipeline.disk.claim import claim
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.disk.progress import FileProgress
from comal.pipeline.disk.provenance import record
from comal.pipeline.disk.result import RunResult
from comal.pipeline.disk.work_folder import FORMAT
from comal.pipeline.processes.distributed import on_main, state
from comal.pipeline.processes.garbage import young_garbage_only
from comal.pipeline.processes.pool import side_by_side, worker_lock
from comal.pipeline.run.check import check, refuse_other_processes
from comal.pipeline.run.deliver import deliver
from comal.pipeline.run.door import check_start
from comal.pipeline.run.extend import refuse_changed, set_aside
from comal.pipeline.run.final_evaluation import answer_test_prompts, evaluate
from comal.pipeline.run.method import Method
from comal.pipeline.run.resolved import ResolvedRecipe, resolve
from comal.pipeline.run.resources import open_resources
from comal.pipeline.run.start import prepare_start, timed
from comal.pipeline.training.batches import batch_here, batch_of
from comal.policies.engines.outside.running import close_engine
from comal.recipes.settings import Recipe


class Run:
    """A run in its folder, used as a with block, which claims the folder and gives it back.

    Attributes:
        ended_after: how many steps, where the run had ended before and is extended by this one.
    """

    def __init__(self, folder: Path, recipe: Recipe, command: str | None = None) -> None:
        self.folder = folder
        self.recipe = recipe
        RunFolder(folder).search_imports()
        self.resolved = resolve(recipe)
        self.command = command
        self.ended_after: int | None = None
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Run:
        self.claim()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()
        close_engine()

    def claim(self) -> None:
        """Make the folder, or take up what is in it.

        Raises:
            RunError: the folder holds another run, something else, or is in use; or it cannot be extended.
        """
        check(self.resolved)
        self.resolved.engine.require()
        if not self._batches_are_own():
            for settings in (self.recipe.training, self.recipe.supervised):
                if settings is not None:
                    batch_here(settings)  # refuses what the processes cannot share
        content = {"format": FORMAT, "comal": comal.__version__, "recipe": self.resolved.canonical()}
        if state().is_main_process:
            lock = claim(RunFolder(self.folder), content, refuse_changed, list(self.resolved.methods))
            self._held.callback(lock.release)
            run = RunFolder(self.folder)
            if run.holds_work() and not all(
                run.method(name).has_taken(self.recipe.steps) for name in self.resolved.methods
            ):
                refuse_other_processes(run, state().num_processes)
            run.write_imports(folders_of(content["recipe"]))
            self.ended_after = set_aside(run, list(self.resolved.methods), self.recipe.steps)
            record(self.folder, self.command, state().num_processes)
        state().wait_for_everyone()

    def _batches_are_own(self) -> bool:
        """Whether the run was begun when a batch was still each process's own."""
        run = RunFolder(self.folder)
        return run.has_prompts and not run.shares_batches

    def shares(self) -> str:
        """How the processes share an optimiser step, in words."""
        whole = batch_of(self.recipe.training)
        if self._batches_are_own():
            rows = whole.rows
            return f"an optimiser step takes {rows} prompts of each, {rows * state().num_processes} in all"
        mine = batch_here(self.recipe.training)
        times = "" if mine.accumulation == 1 else f" in {mine.accumulation} rounds"
        return f"an optimiser step takes {whole.rows} prompts, {whole.rows // mine.processes} in each{times}"

    def execute(self) -> RunResult:
        """Do what is left to do; returns the content of result.json."""
        run = RunFolder(self.folder)
        progress = FileProgress(run.progress, 0)
        prepare_start(self.folder, self.recipe, progress)
        with timed(self.folder, "methods"):
            self._methods()
        with timed(self.folder, "evaluation"):
            if not run.is_finished:
                result = evaluate(self.folder, open_resources(self.folder, self.resolved), list(self.resolved.methods))
                if result is not None:
                    run.write_result(result)
                state().wait_for_everyone()
        on_main(lambda: deliver(self.folder, self.resolved))
        return run.result()

    def _methods(self) -> None:
        run = RunFolder(self.folder)
        left = [m for m in self.resolved.methods if not run.method(m).has_taken(self.recipe.steps)]
        if self.recipe.processes > 1 and len(left) > 1:
            if state().num_processes > 1:
                raise ConfigError("processes", "methods cannot run side by side under torchrun; set processes: 1")
            side_by_side(self.folder, "method", left, self.recipe.processes)
            return
        for name in left:
            run_method(self.folder, self.resolved, name, parent=None)


def run_method(folder: Path, resolved: ResolvedRecipe, name: str, parent: int | None) -> None:
    """Run or continue one method of a prepared run."""
    own = RunFolder(folder).method(name)
    own.path.mkdir(exist_ok=True)
    with worker_lock(folder, name), young_garbage_only():
        progress = FileProgress(own.progress, resolved.recipe.steps, parent)
        shared = open_resources(folder, resolved)
        check_start(folder, shared)
        Method(own.path, resolved.methods[name], shared, progress).run()
        answer_test_prompts(folder, shared, name, parent)
