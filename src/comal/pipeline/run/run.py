"""A whole run: supervised stage, methods, final evaluation; every part is skipped when its artifact is there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import filelock

import comal
from comal.errors import ConfigError, RunError
from comal.pipeline.disk.files import clear_temporaries, link_folder, read_json, write_json
from comal.pipeline.disk.progress import FileProgress
from comal.pipeline.disk.provenance import record
from comal.pipeline.processes.distributed import on_main, state
from comal.pipeline.processes.workers import side_by_side, wait_for_workers, worker_lock, young_garbage_only
from comal.pipeline.run.check import (
    FORMAT,
    build_algorithms,
    canonical,
    check,
    method_names,
    refuse_other,
    refuse_other_processes,
)
from comal.pipeline.run.door import check_start
from comal.pipeline.run.final_evaluation import answer_test_prompts, evaluate
from comal.pipeline.run.method import Method
from comal.pipeline.run.resources import parts
from comal.pipeline.run.start import prepare_start, timed
from comal.pipeline.step.roles import INITIAL
from comal.recipes.settings import Recipe


class Run:
    """A run in its folder. Making one claims the folder; `close` (or a with block) gives it back."""

    def __init__(self, folder: Path, recipe: Recipe, command: str | None = None) -> None:
        self.folder = folder
        self.recipe = recipe
        self.command = command
        self.lock = filelock.FileLock(folder / ".lock")

    def __enter__(self) -> Run:
        self.claim()
        return self

    def __exit__(self, *_: object) -> None:
        self.lock.release()

    def claim(self) -> None:
        """Make the folder, or take up what is in it.

        Raises:
            RunError: the folder holds another run, something else, or is in use.
        """
        check(self.recipe)
        plain = canonical(self.recipe)
        if not state().is_main_process:
            state().wait_for_everyone()
            return
        marker = self.folder / "run.json"
        if self.folder.exists() and not self.folder.is_dir():
            raise RunError(str(self.folder), "this is a file, not a folder; choose another --output-dir")
        if marker.is_file():
            self._refuse_other_work(plain)
        elif self.folder.exists() and any(not _left_by_a_claim(p) for p in self.folder.iterdir()):
            raise RunError(str(self.folder), "the folder is not empty and holds no run; choose another --output-dir")
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            # Workers of a killed run notice within a stage that they are orphans; wait for them a little.
            self.lock.acquire(timeout=5)
            wait_for_workers(self.folder, list(method_names(self.recipe)))
        except filelock.Timeout as error:
            raise RunError(str(self.folder), "another process is working in this folder; wait for it to end") from error
        clear_temporaries(self.folder)
        if not marker.is_file() or read_json(marker).get("recipe") != plain:
            self._refuse_other_work(plain)  # again: another process may have worked here before the lock was ours
            if not _holds_work(self.folder):
                shutil.rmtree(self.folder / "data", ignore_errors=True)
            write_json(marker, {"format": FORMAT, "comal": comal.__version__, "recipe": plain})
        if _holds_work(self.folder):
            refuse_other_processes(self.folder, state().num_processes)
        record(self.folder, self.command, state().num_processes)
        state().wait_for_everyone()

    def _refuse_other_work(self, plain: Mapping[str, Any]) -> None:
        """Refuse what another recipe computed; a run that stopped before it computed anything may be changed."""
        if (self.folder / "run.json").is_file() and _holds_work(self.folder):
            refuse_other(read_json(self.folder / "run.json"), plain, self.folder)

    def execute(self) -> dict[str, Any]:
        """Do what is left to do; returns the content of result.json."""
        progress = FileProgress(self.folder / "progress.json", 0)
        prepare_start(self.folder, self.recipe, progress)
        with timed(self.folder, "methods"):
            self._methods()
        with timed(self.folder, "evaluation"):
            if not (self.folder / "result.json").is_file():
                result = evaluate(self.folder, parts(self.folder, self.recipe), list(method_names(self.recipe)))
                on_main(lambda: write_json(self.folder / "result.json", result))
        on_main(self._deliver)
        final: dict[str, Any] = read_json(self.folder / "result.json")
        return final

    def _methods(self) -> None:
        left = [m for m in method_names(self.recipe) if not (self.folder / m / "final.json").is_file()]
        if self.recipe.processes > 1 and len(left) > 1:
            if state().num_processes > 1:
                raise ConfigError("processes", "methods cannot run side by side under torchrun; set processes: 1")
            side_by_side(self.folder, "method", left, self.recipe.processes)
            return
        for name in left:
            run_method(self.folder, self.recipe, name, parent=None)

    def _deliver(self) -> None:
        main = next(iter(method_names(self.recipe)))
        final = read_json(self.folder / main / "final.json")
        source = self.folder / main / "steps" / final["checkpoint"] / "checkpoint"
        if final["checkpoint"] == INITIAL:
            source = self.folder / "supervised"
        if source.is_dir() and not (self.folder / "model").is_dir():
            link_folder(source, self.folder / "model")


def run_method(folder: Path, recipe: Recipe, name: str, parent: int | None) -> None:
    """Run or continue one method of a prepared run."""
    (folder / name).mkdir(exist_ok=True)
    with worker_lock(folder, name), young_garbage_only():
        progress = FileProgress(folder / name / "progress.json", recipe.steps, parent)
        shared = parts(folder, recipe)
        check_start(folder, shared)
        Method(folder / name, build_algorithms(recipe)[name], shared, progress).run()
        answer_test_prompts(folder, shared, name)


def _holds_work(folder: Path) -> bool:
    """Whether anything was computed in a run's folder yet."""
    return any(p for pattern in ("supervised", "*/steps", "evaluation", "result.json") for p in folder.glob(pattern))


def _left_by_a_claim(path: Path) -> bool:
    return path.name == ".lock" or path.name.startswith(".run.json.tmp-")
