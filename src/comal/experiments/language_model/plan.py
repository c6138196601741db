"""What `comal reproduce lm` compares, as data: parts, their methods, and the runs that these come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from comal.pipeline.cost.walk import StepsCost
from comal.recipes.settings import Recipe

Changes = Mapping[str, Mapping[str, Any]]
"""Of a recipe: settings by section, each replaced whole."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A method as a part enters it.

    Attributes:
        key: its name in the part.
        title: for people.
        algorithm: specification.
        changes: of the recipe, that only this method needs.
        run: of the run that it shares with others of its steps and changes; None: decided by these alone.
    """

    key: str
    title: str
    algorithm: Mapping[str, Any]
    changes: Changes = field(default_factory=dict)
    run: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run of some methods.

    Attributes:
        name: its folder's, without the seed: `part/run`.
        recipe: of the seed that the experiment's recipe has.
        methods: names of its methods in the run, by key.
        costs: of the steps of each method, by key.
    """

    name: str
    recipe: Recipe
    methods: Mapping[str, str]
    costs: Mapping[str, StepsCost]

    def folder(self, seed: int) -> str:
        """Where the run of a seed lies within the experiment's folder."""
        return f"{self.name}-seed{seed}"

    def of_seed(self, seed: int) -> Recipe:
        """Its recipe with another seed."""
        return self.recipe.model_copy(update={"seed": seed})


@dataclass(frozen=True, slots=True)
class Part:
    """One comparison.

    Attributes:
        name: on the command line, and of its folder.
        title: for people.
        about: what it shows, in a sentence.
        runs: that its methods come from, in part those of other parts.
        titles: its methods' names for people, by key; the first method is the one that others are compared with.
        judges: specifications of the judges that measure, by name.
        exploiters: whether exploiters are trained against its methods.
        left_out: what cannot be run, by title, and why.
    """

    name: str
    title: str
    about: str
    runs: tuple[PlannedRun, ...]
    titles: Mapping[str, str]
    judges: Mapping[str, Any]
    exploiters: bool = False
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def sources(self) -> dict[str, tuple[PlannedRun, str]]:
        """For each of its methods the run that it comes from and its name there, by key."""
        found = {key: (run, method) for run in self.runs for key, method in run.methods.items()}
        return {key: found[key] for key in self.titles}
