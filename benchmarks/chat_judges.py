"""The policies of a finished run of the recipe `chat` before other judges, on all answers that its evaluation drew.

    python benchmarks/chat_judges.py runs/chat runs/idpo

Nothing is sampled. Adversaries are the other policies and the pure kinds; every policy of one call is every other's
adversary. Best-of-N is left out: its candidates are among the answers here, which makes the figures sharper instead.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from comal.evaluation.exploitability.adversaries import Answers
from comal.evaluation.exploitability.scoreboard import START, Field, score_policy
from comal.judges.asking.oracle import Oracle
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.run.resolved import method_names
from comal.pipeline.step.samples import Samples
from comal.recipes.settings import Recipe
from comal.resolve import resolve_classifier, resolve_judge

BLUNTER = 0.4


def main() -> None:
    runs = [RunFolder(Path(name)) for name in sys.argv[1:] or ["runs/chat"]]
    recipe = runs[0].recipe()
    prompts = list(runs[0].prompts().test[: recipe.evaluation.test_prompts])
    pool: dict[str, list[list[str]]] = {}
    for run in runs:
        for name in (START, *method_names(run.recipe())):
            key = name if name not in pool or name == START else f"{name} ({run.path.name})"
            pool[key] = Samples.load(run.answers(name), prompts).texts
    for title, spec in judges(recipe.judge).items():
        field = field_of(recipe, spec, [prompt.text for prompt in prompts], pool[START], ())
        print(f"## {title}: {len(prompts)} test prompts, seed {recipe.seed}\n")
        print("| policy | against the start | its strongest adversary wins | who |\n| --- | --- | --- | --- |")
        for name in pool:
            figures = score_policy(field, name, pool, {}).figures
            won = "–" if figures.win_rate is None else str(figures.win_rate)
            who = ", ".join(dict.fromkeys(figures.worst_case.names))
            print(f"| {name} | {won} | {figures.worst_case.win_rate} | {who} |")
        print()


def field_of(recipe: Recipe, judge: Any, prompts: Sequence[str], start: Answers, best_of: Sequence[int]) -> Field:
    """What the policies of a recipe are scored by before a judge; the kinds are those that the start's answers have."""
    classify = resolve_classifier(recipe.evaluation.classes, "evaluation.classes")
    assert classify is not None, "the recipe names no kinds of answers"
    kinds = sorted({classify(text) for group in start for text in group})
    oracle = Oracle(resolve_judge(judge, "judge"), None, recipe.sampling.max_failure_rate)
    return Field(oracle, prompts, best_of, classify, kinds, recipe.seed)


def judges(trained_on: Any) -> dict[str, Any]:
    """The recipe's three readers; the same with more noise; a fourth beside them; and the first one alone.

    The fourth wants something short, then prose, so that two of the three majorities among kinds become ties.
    """
    readers = trained_on["members"]
    said, brief, lists = (rule["pattern"] for rule in readers[0]["rules"])
    fourth = copy.deepcopy(readers[0])
    fourth["rules"] = [
        {"measure": "contains", "pattern": said},
        {"measure": "contains", "pattern": brief},
        {"measure": "contains", "pattern": lists, "prefer": "less"},
    ]
    return {
        "the readers that it was trained on": trained_on,
        "blunter readers": trained_on | {"members": [r | {"sharpness": BLUNTER * r["sharpness"]} for r in readers]},
        "four readers": trained_on | {"members": [*readers, fourth]},
        "one reader": readers[0],
    }


if __name__ == "__main__":
    main()
