"""The experiment on a language model, whole: which parts there are to do, doing them, and the page of what they show.

It shows nothing itself: what a person is told, and who watches runs while they last, is handed in.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from comal.errors import ConfigError
from comal.experiments.language_model.basis import Basis
from comal.experiments.language_model.page import write_page
from comal.experiments.language_model.parts import PARTS, plan_part
from comal.experiments.language_model.plan import Part
from comal.experiments.language_model.results import Cost, PartResult, cost_of, exploited, finished, table_of
from comal.experiments.language_model.runs import Watch, carry_out, certify, claimed
from comal.experiments.language_model.scores import SeedScores, scores
from comal.pipeline.disk.experiment_folder import ExperimentFolder
from comal.pipeline.disk.layout import RUNS
from comal.pipeline.processes.distributed import prepare_process
from comal.recipes import DEFAULT_RECIPE
from comal.recipes.settings import Recipe

Told = Callable[[str], None]
"""Tells a person one line."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """Parts of the experiment, on some seeds, in a folder.

    Attributes:
        recipe: what everything is derived from.
        parts: by name.
        seeds: of every part.
        folder: of all runs, figures and the page.
        options: of `comal reproduce lm`, without the part, that make this.
    """

    recipe: Recipe
    parts: Mapping[str, Part]
    seeds: tuple[int, ...]
    folder: Path
    options: tuple[str, ...]

    def costs(self) -> dict[str, Cost]:
        """What is left of each part; a method that several parts show is counted where it comes first."""
        counted: set[str] = set()
        return {name: cost_of(part, self.seeds, self.folder, counted) for name, part in self.parts.items()}

    def plan_json(self, costs: Mapping[str, Cost], total: Cost) -> dict[str, Any]:
        """The plan as plain values, with what is left of it."""
        parts = {name: self._part_json(part) | _cost_json(costs[name]) for name, part in self.parts.items()}
        return {"seeds": list(self.seeds), "parts": parts, "total": _cost_json(total)}

    def carry_out(self, watch: Watch, told: Told) -> dict[str, PartResult]:
        """Train and measure; a seed after the other, so that there is something to read soon.

        Raises:
            ComalError: a folder in use or with another configuration's runs, or whatever stops a run.
        """
        prepare_process(self.recipe.threads)
        results = {}
        with claimed(self.folder):
            for name, part in self.parts.items():
                measured: dict[str, list[SeedScores]] = {judge: [] for judge in part.judges}
                certificates = []
                for seed in self.seeds:
                    told(f"part {name}, seed {seed}")
                    carry_out(self.folder, part, seed, self.command(name), watch)
                    for judge, found in measured.items():
                        found.append(scores(self.folder, part, judge, seed, told))
                    if part.exploiters:
                        certificates.append(certify(self.folder, part, seed, lambda *_: nullcontext()))
                tables = tuple(table_of(part, judge, found) for judge, found in measured.items())
                beaten = exploited(part, certificates) if certificates else ()
                results[name] = PartResult(part, self.seeds, tables, beaten)
        return results

    def write(self, results: Mapping[str, PartResult]) -> Path:
        """Write figures and the page of these parts and of those that are finished already; returns the page."""
        whole: dict[str, PartResult] = {}
        for name in PARTS:
            found = results.get(name) or self._finished(name)
            if found is not None:
                whole[name] = found
        ExperimentFolder(self.folder).write_results({name: result.to_json() for name, result in whole.items()})
        commands = {name: self.command(name) for name in whole}
        return write_page(self.folder, list(whole.values()), commands, in_words(self.recipe))

    def command(self, part: str) -> str:
        """What a person types for one part."""
        return shlex.join(["comal", "reproduce", "lm", "--part", part, *self.options])

    def _finished(self, name: str) -> PartResult | None:
        """A part as an earlier command left it; None where it is not finished or the recipe does not allow it."""
        try:
            part = self.parts.get(name) or plan_part(name, self.recipe)
        except ConfigError:
            return None
        return finished(self.folder, part, self.seeds)

    def _part_json(self, part: Part) -> dict[str, Any]:
        runs = [
            {
                "folders": [run.folder(seed) for seed in self.seeds],
                "methods": {k: asdict(w) for k, w in run.costs.items()},
            }
            for run in part.runs
        ]
        return {"runs": runs, "judges": dict(part.judges), "left_out": dict(part.left_out)}


def planned(wanted: Sequence[str], recipe: Recipe, told: Told) -> dict[str, Part]:
    """The parts that are wanted; of `all` and `list` those that the recipe allows, telling why others are left out.

    Raises:
        ConfigError: no such part, or one that the recipe does not allow.
    """
    if wanted != ["list"] and "all" not in wanted:
        return {name: plan_part(name, recipe) for name in dict.fromkeys(wanted)}
    found = {}
    for name in PARTS:
        try:
            found[name] = plan_part(name, recipe)
        except ConfigError as error:
            if name == "methods":  # nothing goes with this recipe
                raise
            told(f"part {name} is left out: {error}")
    return found


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds with commas between them.

    Raises:
        ConfigError: something else, or one twice.
    """
    words = text.split(",")
    found = tuple(int(word) for word in words if word.strip().isdecimal())
    if len(found) != len(words) or len(set(found)) != len(found):
        raise ConfigError("--seeds", f"need different whole numbers with commas between, such as 0,1,2, got `{text}`")
    return found


def default_seeds(quick: bool) -> tuple[int, ...]:
    """The seeds if nobody names some."""
    return (0,) if quick else (0, 1, 2)


def default_folder(quick: bool) -> Path:
    """Where the experiment goes if nobody says where."""
    return RUNS / ("lm-quick" if quick else "lm")


def command_options(
    recipe: str, settings: Sequence[str], seeds: Sequence[int], quick: bool, folder: Path
) -> tuple[str, ...]:
    """The options of a command that differ from what it takes by default, as a person would type them."""
    given: list[str] = []
    if recipe != DEFAULT_RECIPE:
        given += ["--recipe", recipe]
    for setting in settings:
        given += ["--set", setting]
    if quick:
        given.append("--quick")
    if tuple(seeds) != default_seeds(quick):
        given += ["--seeds", ",".join(map(str, seeds))]
    if folder != default_folder(quick):
        given += ["--folder", str(folder)]
    return tuple(given)


def in_words(recipe: Recipe) -> str:
    """What all parts have in common."""
    shared = Basis.of(recipe)
    return (
        f"Everything is derived from the recipe `{recipe.name}`: {recipe.steps} proximal steps of "
        f"{recipe.sampling.prompts} prompts × {recipe.sampling.samples} answers, η = {shared.eta:g}, "
        f"τ = {shared.tau:g}, reference every {shared.inner_steps} steps. A method may have {shared.pairs:,} pairs of "
        "answers judged in training; one whose step takes more of them takes fewer steps."
    )


def _cost_json(cost: Cost) -> dict[str, Any]:
    return {"methods_left": cost.methods, "pairs_left": cost.pairs, "cpu_hours_left": round(cost.seconds / 3600, 2)}
