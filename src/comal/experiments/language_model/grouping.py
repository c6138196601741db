"""From the methods that a part enters to the runs they come from: equal judged pairs, shared runs, what is left out."""

from __future__ import annotations

import json
from collections.abc import Iterable

from comal.errors import ConfigError
from comal.experiments.language_model.basis import Basis, changed
from comal.experiments.language_model.plan import Entry, Part, PlannedRun
from comal.pipeline.cost.equal_calls import steps_within, work_of
from comal.pipeline.step.fits import refuse_unfit, refuse_unsampleable
from comal.recipes.settings import Recipe
from comal.resolve import resolve_algorithm, resolve_loss

_TOGETHER = "together"


def part_of(name: str, title: str, about: str, base: Basis, entries: Iterable[Entry], exploiters: bool = False) -> Part:
    """A part with the runs of its entries; those that cannot be run are left out, with the reason."""
    usable: list[tuple[Entry, Recipe]] = []
    left_out: dict[str, str] = {}
    for entry in entries:
        try:
            usable.append((entry, _alone(entry, base)))
        except ConfigError as error:
            left_out[entry.title] = str(error)
    judges = {"the judge": base.judge}
    titles = {entry.key: entry.title for entry, _ in usable}
    return Part(name, title, about, tuple(_grouped(name, usable, base)), titles, judges, exploiters, left_out)


def _alone(entry: Entry, base: Basis) -> Recipe:
    """The recipe of one method, which takes as many steps as the recipe's judged pairs pay for.

    Raises:
        ConfigError: the method cannot be run on a language model, or not by its loss.
    """
    recipe = changed(base.recipe, entry.changes)
    rule = resolve_algorithm(entry.algorithm, "algorithm")
    loss = resolve_loss(recipe.training.loss, "training.loss")
    refuse_unfit(refuse_unsampleable(rule, "algorithm"), loss, recipe.training.pairing, entry.title)
    steps = steps_within(rule, recipe.sampling, base.pairs, entry.title).steps
    return recipe.model_copy(update={"algorithm": entry.algorithm, "baselines": {}, "steps": steps})


def _grouped(part: str, entries: Iterable[tuple[Entry, Recipe]], base: Basis) -> list[PlannedRun]:
    """Methods of equal steps and settings share a run."""
    groups: dict[str, list[tuple[Entry, Recipe]]] = {}
    for entry, recipe in entries:
        # The core's run is one of `methods`, whatever part enters it.
        shared = recipe.model_dump(mode="json", exclude={"algorithm"}) | {"core": entry.run}
        groups.setdefault(json.dumps(shared, sort_keys=True), []).append((entry, recipe))
    planned = []
    for group in groups.values():
        first, recipe = group[0]
        members = [(entry, recipe) for entry, _ in group] if first.run is None else [(e, recipe) for e in base.core]
        label = str(first.algorithm["name"])
        methods = {first.key: label} | {entry.key: entry.key for entry, _ in members[1:]}
        whole = recipe.model_copy(update={"baselines": {entry.key: entry.algorithm for entry, _ in members[1:]}})
        together = recipe.steps == base.recipe.steps and not first.changes
        name = first.run or (_TOGETHER if together else first.key)
        work = {
            entry.key: work_of(resolve_algorithm(entry.algorithm, entry.title), recipe.sampling, recipe.steps)
            for entry, _ in members
        }
        planned.append(PlannedRun(f"{'methods' if first.run else part}/{name}", whole, methods, work))
    return planned
