"""Proximal steps of a method one after another, with all that a run reads and writes for them, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

from comal.algorithms.base import Instruction, Report
from comal.pipeline.disk.journal import FileJournal
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.disk.progress import FileProgress
from comal.pipeline.processes.garbage import young_garbage_only
from comal.pipeline.run.resolved import resolve
from comal.pipeline.run.resources import open_resources
from comal.pipeline.run.start import prepare_start
from comal.pipeline.step.interpreter import LanguageModelBackend
from comal.recipes.load import load_recipe, validate
from comal.recipes.settings import Recipe
from side_by_side.random_lm import Shape, prompts_and_answers, save, text

HELD_OUT = 2  # prompts, which a recipe has to have


def write_prompts(folder: Path, count: int, tokens: int) -> Path:
    """Made-up prompts of so many tokens as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "prompts.jsonl"
    rows = [{"prompt": text(prompt)} for prompt in prompts_and_answers(count, 2, tokens, 1)[0]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def recipe_of(folder: Path, shape: Shape, tokens: tuple[int, int], **parts: Any) -> Recipe:
    """A recipe of INPO on a random model, whose judge costs next to nothing: a step is sampling, scoring, training.

    Args:
        folder: for the model and the prompts.
        shape: of the model.
        tokens: of a prompt, and of an answer at most.
        parts: `sampling`, `training` and whatever else is to differ.
    """
    prompts = str(write_prompts(folder, 2 * parts["sampling"]["prompts"] + 2 * HELD_OUT, tokens[0]))
    values: dict[str, Any] = {
        "name": "benchmark", "judge": load_recipe("docstrings").judge, "steps": 1000,
        "algorithm": {"name": "inpo", "eta": 2.0, "tau": 0.2},
        "policy": {
            "model": save(shape, folder / "model"), "max_prompt_tokens": tokens[0] + 8, "max_new_tokens": tokens[1],
        },
        "prompts": {"train": {"source": prompts}, "held_out": HELD_OUT},
        "evaluation": {"best_of": [2], "pool_size": 0},
    }  # fmt: skip
    return validate(values | parts)


class Steps:
    """Takes a method's steps when it is told to."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        run = RunFolder(folder)
        folder.mkdir(parents=True, exist_ok=True)
        resolved = resolve(recipe)
        prepare_start(folder, recipe, FileProgress(run.progress, 0))
        name, algorithm = next(iter(resolved.methods.items()))
        method = run.method(name)
        method.path.mkdir(exist_ok=True)
        self.journal = FileJournal(method.journal)
        self.backend = LanguageModelBackend(
            method.path, open_resources(folder, resolved), self.journal, FileProgress(method.progress, recipe.steps)
        )
        self._program: Generator[Instruction, Report, None] = algorithm.program()
        self._report: Report | None = None
        self._taken = 0

    def take(self) -> None:
        """One proximal step, from the first sample to the line in the journal."""
        instruction = self._program.send(self._report)  # type: ignore[arg-type]  # None starts it
        with young_garbage_only():
            self._report = self.backend.execute(self._taken, instruction)
            self.journal.append(self._taken, instruction, self._report)
            self.backend.roles.advance(instruction)
            self.backend.roles.collect_garbage()
        self._taken += 1
