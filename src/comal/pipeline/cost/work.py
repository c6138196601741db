"""What a run does, in units that can be priced: its calls by stage and by what one of them works on.

Upper bounds where a run decides on its way: every pair is asked about, every method's best look is not its last.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from comal.algorithms.base import REFERENCE, Algorithm, Certify, Copy, PlayOnline, ProxStep, Step
from comal.errors import ConfigError
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.run.resolved import ResolvedRecipe
from comal.pipeline.step.program import InstructionCost, walk
from comal.pipeline.training.arguments import KEPT_PARTS
from comal.recipes.settings import Recipe

Stage = Literal["start", "supervised", "sample", "judge", "score", "train", "look", "final evaluation"]
"""Where a run's time goes, in the order in which it first does."""
STAGES: tuple[Stage, ...] = get_args(Stage)
Unit = Literal[
    "process", "data", "row", "checkpoint", "answer", "start's answer", "scored answer", "answer scored by the start",
    "pair", "evaluated pair", "prompt", "opened policy", "checked policy",
]  # fmt: skip
"""What is counted: of each there is a cost to be measured."""
UNITS: tuple[Unit, ...] = get_args(Unit)


@dataclass(frozen=True, slots=True)
class Task:
    """Calls that are alike.

    Attributes:
        stage: whose time they take.
        unit: what they work on.
        size: units of a call.
        times: calls.
        method: that does it; None: it is done once for all of them.
    """

    stage: Stage
    unit: Unit
    size: float
    times: float = 1
    method: str | None = None

    @property
    def units(self) -> float:
        """In all calls."""
        return self.size * self.times


@dataclass(frozen=True, slots=True)
class Known:
    """What of a run's work its data decide.

    Attributes:
        pairs: of the supervised stage.
        validation: prompts of a look.
        test: prompts of the final evaluation.
        classes: of answers, in each of which an adversary answers.
    """

    pairs: int
    validation: int
    test: int
    classes: int = 0


def work_of(resolved: ResolvedRecipe, known: Known) -> list[Task]:
    """All that a run does.

    Raises:
        ConfigError: online steps, whose loop is TRL's own.
    """
    recipe = resolved.recipe
    looks = {name: _looks(rule, recipe, name) for name, rule in resolved.methods.items()}
    tasks = [Task("start", "process", 1), Task("start", "data", 1), *_supervised(recipe, known)]
    for name, rule in resolved.methods.items():
        tasks += _steps(name, rule, recipe)
        tasks += _looking(name, recipe, known, looks[name])
        tasks += _answering(name, recipe, known, looks[name])
    beside = recipe.processes > 1 and len(looks) > 1
    tasks += [Task("start", "process", 1, method=name) for name in looks if beside]
    return [task for task in [*tasks, *_evaluating(recipe, known, looks)] if task.units > 0]


def _supervised(recipe: Recipe, known: Known) -> list[Task]:
    if recipe.supervised is None:
        return []
    rows = math.ceil(recipe.supervised.epochs * known.pairs)
    return [Task("supervised", "row", rows), Task("supervised", "checkpoint", 1, KEPT_PARTS)]


def _taken(rule: Algorithm, recipe: Recipe, name: str) -> Iterator[tuple[ProxStep | Certify | Copy, InstructionCost]]:
    """The instructions of a run; a game is solved whenever somebody asks."""
    steps = 0
    for instruction, cost in walk(rule, recipe.sampling):
        if isinstance(instruction, PlayOnline):
            times = RunFolder(Path("try")).timing_path
            raise ConfigError(
                name, "its steps are a training loop of TRL's, whose parts are not measured; take one step instead:"
                f" `comal run RECIPE --set steps=1 --output-dir try`, whose times are in {times}"
            )  # fmt: skip
        assert isinstance(instruction, ProxStep | Certify | Copy)  # `check` lets no other through
        yield instruction, cost
        steps += isinstance(instruction, Step)
        if steps == recipe.steps:
            return


def _looks(rule: Algorithm, recipe: Recipe, name: str) -> int:
    """How often the validation prompts are looked at."""
    every, steps = recipe.evaluation.every, 0
    seen = {recipe.steps}
    for instruction, _ in _taken(rule, recipe, name):
        steps += isinstance(instruction, Step)
        moved = isinstance(instruction, Copy) and instruction.out == REFERENCE
        if moved if every is None else isinstance(instruction, Step) and steps % every == 0:
            seen.add(steps)
    return len(seen)


def _steps(name: str, rule: Algorithm, recipe: Recipe) -> list[Task]:
    sampling, training = recipe.sampling, recipe.training
    prompts, K = sampling.prompts, sampling.samples
    total, steps, asked = InstructionCost(), 0, 0
    for instruction, cost in _taken(rule, recipe, name):
        total += cost
        steps += isinstance(instruction, ProxStep)
        asked += len(instruction.opponent.terms) if isinstance(instruction, ProxStep) else cost.pairs > 0
    held_out = training.held_out(prompts)
    a_step = prompts * K

    def calls(stage: Stage, unit: Unit, units: int, size: int = a_step) -> Task:
        return Task(stage, unit, size, units / size, name)

    return [
        calls("sample", "answer", total.drawn - total.drawn_by_start),
        calls("sample", "start's answer", total.drawn_by_start),
        Task("sample", "checked policy", 1, steps, name),
        Task("judge", "pair", total.pairs / max(1, asked), asked, name),
        calls("score", "scored answer", total.scored - total.scored_by_start),
        calls("score", "answer scored by the start", total.scored_by_start),
        Task("train", "prompt", training.epochs * (prompts - held_out), steps, name),
        Task("train", "scored answer", held_out * K, steps, name),
    ]


def _looking(name: str, recipe: Recipe, known: Known, looks: int) -> list[Task]:
    """Of every look: the policy's answers against the start's, and those of the last and the best look before."""
    evaluation, prompts, s = recipe.evaluation, known.validation, recipe.evaluation.samples
    others = 3 * looks - 2
    pairs = prompts * (others * s**2 + looks * (known.classes * s + sum(evaluation.best_of) * s))
    return [
        Task("look", "answer", prompts * s, looks, name),
        Task("look", "scored answer", prompts * s, looks, name),
        Task("look", "answer scored by the start", prompts * s, looks, name),
        Task("look", "opened policy", 1, looks, name),
        Task("look", "evaluated pair", pairs / looks, looks, name),
    ]


def _pool(recipe: Recipe, looks: int) -> tuple[int, int]:
    """Policies of a method in the final evaluation, and those of them that are scored, at most."""
    earlier = looks - 1
    even = min(recipe.evaluation.pool_size, earlier)
    return 1 + min(even + 1, earlier), 1 + min(1, earlier)


def _answering(name: str, recipe: Recipe, known: Known, looks: int) -> list[Task]:
    """Answers of a method's policies to the test prompts."""
    evaluation = recipe.evaluation
    pool, scored = _pool(recipe, looks)
    best = max(evaluation.best_of, default=0)
    return [
        Task("final evaluation", "answer", known.test * (evaluation.samples + best), scored, name),
        Task("final evaluation", "answer", known.test * evaluation.samples, pool - scored, name),
        Task("final evaluation", "opened policy", 1, pool, name),
        Task("final evaluation", "checked policy", 1, pool, name),
    ]


def _evaluating(recipe: Recipe, known: Known, looks: dict[str, int]) -> list[Task]:
    """What is done once: the start's answers, log-probabilities, and all pairs."""
    evaluation, s, test = recipe.evaluation, recipe.evaluation.samples, known.test
    best = max(evaluation.best_of, default=0)
    pools = [_pool(recipe, count) for count in looks.values()]
    pool = 1 + sum(own for own, _ in pools)
    rows = sum(scored for _, scored in pools)  # without the start's
    against_all = (pool - 1) * s**2 + known.classes * s
    pairs = (rows + 1) * against_all + sum(evaluation.best_of) * s * (2 * rows + 1)
    joined = min(4, s) * (1 + len(looks))
    return [
        Task("look", "start's answer", known.validation * (s + best)),
        Task("final evaluation", "start's answer", test * (s + best)),
        Task("final evaluation", "scored answer", test * s, rows),
        Task("final evaluation", "answer scored by the start", test * s, rows + 2),
        Task("final evaluation", "opened policy", 1, 2 * rows),
        Task("final evaluation", "evaluated pair", test * pairs / (rows + 1), rows + 1),
        Task("final evaluation", "evaluated pair", test * joined * (joined - 1) / 2),
    ]
