"""What of a run is there and what is not yet, for reports of unfinished ones."""

from __future__ import annotations

from dataclasses import dataclass

from comal.pipeline.disk.progress import read_state
from comal.reports.html.run_data import RunData


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a run.

    Attributes:
        state: "done", "under way" or "to do", or "not needed".
        detail: how far it is and what comes of it.
    """

    name: str
    state: str
    detail: str


def stages(run: RunData) -> list[Stage]:
    """The parts of a run in the order in which they are done."""
    planned = int(run.recipe["steps"])
    state = read_state(run.folder, [m.name for m in run.methods], planned)
    begun = any(m.steps or m.done for m in run.methods)
    found = [_supervised(run, begun, state.stage)]
    for method, seen in zip(run.methods, state.methods, strict=True):
        taken = len(method.steps)
        word = "done" if method.done else "under way" if taken or seen.stage else "to do"
        last = f"; last seen at stage “{seen.stage}”" if seen.stage and not method.done else ""
        found.append(Stage(method.name, word, f"{taken} of {planned} proximal steps{last}"))
    if run.result is not None:
        found.append(Stage("final evaluation", "done", "verdict, cross-play, sample answers"))
    else:
        under_way = state.stage == "final evaluation" and all(m.done for m in run.methods)
        detail = "without it there is no verdict, no cross-play and no sample answers"
        found.append(Stage("final evaluation", "under way" if under_way else "to do", detail))
    return found


def missing(run: RunData) -> str:
    """The first thing that is not there yet, for a headline; empty when all is."""
    if run.result is not None:
        return ""
    if all(m.done for m in run.methods):
        return "all steps are taken, the final evaluation is missing"
    if any(m.steps for m in run.methods):
        taken, planned = sum(len(m.steps) for m in run.methods), len(run.methods) * int(run.recipe["steps"])
        return f"{taken} of {planned} proximal steps are taken"
    if run.recipe.get("supervised") is not None and not run.supervised:
        return "it has no supervised model yet"
    return "no proximal step has been taken yet"


def _supervised(run: RunData, begun: bool, stage: str) -> Stage:
    if run.recipe.get("supervised") is None:
        return Stage("supervised model", "not needed", "the recipe starts from a model that is there")
    if run.supervised:
        return Stage("supervised model", "done", "the model that alignment starts from")
    word = "under way" if stage == "supervised" and not begun else "to do"
    return Stage("supervised model", word, "the model that alignment starts from")
