"""One table of several seeds: the policies of finished runs of the recipe `chat`, each prompt's figures averaged.

    python benchmarks/chat_seeds.py runs/s0,runs/dpo0 runs/s1,runs/dpo1 runs/s2,runs/dpo2

Runs joined by a comma have one seed and one start, and their policies are each other's adversaries. Nothing is sampled:
figures are made of the answers that the final evaluations drew. The strongest adversary is chosen seed by seed, on the
other half of the prompts; then a prompt's figures are averaged over the seeds, so that prompts are what an interval is
about, and a difference of two methods is taken prompt by prompt.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chat_judges import field_of
from chat_tables import print_table
from comal.errors import ComalError, RunError
from comal.evaluation.estimates import DIFFERENCE, SHARE, estimate
from comal.evaluation.exploitability.adversaries import Adversary, class_shares, exposure, worst_case
from comal.evaluation.exploitability.scoreboard import START
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.run.resolved import method_names
from comal.pipeline.step.samples import Samples

MAIN = "comal"
_TITLES: Mapping[str, Callable[[Adversary], bool]] = {
    "strongest of all": lambda _: True,
    "strongest other policy": lambda adversary: adversary.kind == "another policy",
    "strongest kind alone": lambda adversary: adversary.kind == "one class only",
    "best of N": lambda adversary: adversary.kind == "best of N",
}


@dataclass(frozen=True)
class Figures:
    """Of one policy of one seed: figures by title, each of shape (prompts,), and shares of the kinds."""

    values: Mapping[str, NDArray[np.float64]]
    shares: Mapping[str, float]


def main() -> None:
    seeds = [[RunFolder(Path(name)) for name in group.split(",")] for group in sys.argv[1:]]
    try:
        show([figures_of(runs) for runs in seeds])
    except ComalError as error:
        sys.exit(f"error: {error}")


def figures_of(runs: Sequence[RunFolder]) -> dict[str, Figures]:
    """The policies of one seed, by method; prompts are sorted, so that those of two seeds are in one order.

    Raises:
        RunError: runs of different seeds, or of different test prompts.
    """
    recipe = runs[0].recipe()
    prompts = list(runs[0].prompts().test[: recipe.evaluation.test_prompts])
    order = sorted(range(len(prompts)), key=lambda i: prompts[i].text)
    pool: dict[str, list[list[str]]] = {}
    chosen_from: dict[str, list[list[str]]] = {}
    for run in runs:
        if run.recipe().seed != recipe.seed or list(run.prompts().test[: len(prompts)]) != prompts:
            raise RunError(str(run.path), f"has another seed than {runs[0].path}, or other test prompts")
        count = run.recipe().evaluation.samples
        for name in (START, *method_names(run.recipe())):
            if name in pool and name != START:
                raise RunError(str(run.path), f"has a method `{name}`, and so has another run of this seed")
            answers = Samples.load(run.answers(name), prompts)
            pool.setdefault(name, [answers.part(0, count).texts[i] for i in order])
            chosen_from.setdefault(name, [answers.part(count).texts[i] for i in order])
    texts = [prompts[i].text for i in order]
    field = field_of(recipe, recipe.judge, texts, pool[START], recipe.evaluation.best_of)
    assert field.classify is not None
    found = {}
    for name in pool:
        rates = field.adversaries(name, pool, {origin: chosen_from[origin] for origin in dict.fromkeys((START, name))})
        values = {}
        for title, wanted in _TITLES.items():
            some = {adversary.name: rate for adversary, rate in rates.items() if wanted(adversary)}
            values[title] = exposure(some, worst_case(some).names)
        if name != START:
            values["against the start"] = 1 - rates[Adversary("another policy", START)]
        found[name] = Figures(values, class_shares(pool[name], field.classify))
    return found


def show(seeds: Sequence[Mapping[str, Figures]]) -> None:
    """Print the tables."""
    mean = {
        name: {title: np.mean([seed[name].values[title] for seed in seeds], axis=0) for title in figures.values}
        for name, figures in seeds[0].items()
    }
    columns = ("against the start", *_TITLES)
    figures = [
        [name, *(str(estimate(own[title], SHARE)) if title in own else "–" for title in columns)]
        for name, own in mean.items()
    ]
    print_table(f"{len(seeds)} seeds, {len(mean[MAIN][columns[-1]])} test prompts", ("policy", *columns), figures)
    apart = [
        [name, *(str(estimate(own[title] - mean[MAIN][title], DIFFERENCE)) for title in _TITLES)]
        for name, own in mean.items()
        if name != MAIN
    ]
    print_table(f"More than {MAIN}'s, prompt by prompt", ("policy", *_TITLES), apart)
    shares = [
        [name, *(", ".join(f"{kind} {share:.2f}" for kind, share in seed[name].shares.items()) for seed in seeds)]
        for name in mean
    ]
    print_table("Shares of the kinds", ("policy", *(f"seed {number}" for number in range(len(seeds)))), shares)


if __name__ == "__main__":
    main()
