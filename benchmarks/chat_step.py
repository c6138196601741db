"""How much of a step reaches other prompts' answers: one step of the recipe `chat` from its start, under some settings.

python benchmarks/chat_step.py runs/chat                                     # the recipe's own; two minutes on one core
python benchmarks/chat_step.py runs/chat learning_rate=1e-3 "arguments={}"   # settings of `training`: here Adam's

It is trained on the answers and win rates of the run's first step, and measured on those of its second, whose prompts
it has not seen: how far the log-probability of a kind of answer rises over another's, beside what the step asks; and
how far the answers of one kind move apart, which is noise.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import combinations
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from comal.algorithms.base import POLICY, ProxStep, against, only
from comal.pipeline.disk.files import read_table
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.disk.method_folder import MethodFolder, StepFolder
from comal.pipeline.processes.distributed import prepare_process
from comal.pipeline.run.resolved import method_names, resolve
from comal.pipeline.run.resources import open_store
from comal.pipeline.step.checkpoint import save_step
from comal.pipeline.step.samples import Samples, score
from comal.pipeline.step.targets import Targets, training_groups
from comal.pipeline.training.trainers import TrainerSetup, train_prox
from comal.policies.base import Prompt
from comal.recipes.settings import TrainingSettings
from comal.tasks.everyday import kind_of


def main(arguments: list[str] | None = None) -> None:
    name, *given = sys.argv[1:] if arguments is None else arguments
    run = RunFolder(Path(name))
    recipe = run.recipe()
    prepare_process(recipe.threads)
    changes = {name: yaml.safe_load(value) for name, value in (change.split("=", 1) for change in given)}
    settings = TrainingSettings.model_validate(recipe.training.model_dump() | changes)
    loss = resolve(recipe).loss
    steps = [run.method(name).step_folders() for name in method_names(recipe)]
    first, others = steps[0][0], [folders[1] for folders in steps if len(folders) > 1 and folders[1].samples.is_file()]
    prompts = {prompt.id: prompt for prompt in run.prompts().train}
    trained_on, won = samples_of(first, prompts), np.array(read_table(first.targets)["win_rate"])
    eta = float(recipe.algorithm["inner"]["eta"])

    store = open_store(run.path, recipe)
    start = store.open(store.initial)
    logp = score(start, trained_on)
    targets = Targets(logp, logp, {POLICY: logp}, won.reshape(logp.shape))
    rule = ProxStep(only(POLICY), against(POLICY), eta)
    everything = np.arange(len(trained_on.prompts))
    groups = training_groups(trained_on, targets, rule, everything, [], store.encoder, recipe, 0)
    seen = [samples_of(folder, prompts) for folder in others]
    before = [score(start, samples) for samples in seen]
    model = store.trainable(store.initial)
    with tempfile.TemporaryDirectory() as place:
        folder = MethodFolder(Path(place, "method")).step("00000")
        folder.path.mkdir(parents=True)
        trained, trainer = train_prox(
            model, groups, loss, eta, TrainerSetup(settings, recipe.seed, folder.trainer), start.pad_token
        )
        save_step(trainer, folder, store, False)
        policy = store.open(folder.checkpoint)
        moved = np.concatenate([(score(policy, s) - b).ravel() for s, b in zip(seen, before, strict=True)])
    kinds = np.array([kind_of(text) for samples in seen for group in samples.texts for text in group])
    asked_kinds = np.array([kind_of(text) for group in trained_on.texts for text in group])
    within = np.sqrt(np.mean([moved[kinds == kind].var() for kind in np.unique(kinds)]))
    print(f"{trained.optimizer_steps} optimiser steps; standard deviation within a kind {within:.2f}")
    print("| kinds | asked | got |\n| --- | --- | --- |")
    for one, other in combinations(("list", "prose", "brief"), 2):
        if {one, other} <= set(kinds) & set(asked_kinds):
            asked, _ = difference(eta * won, asked_kinds, one, other)
            got, error = difference(moved, kinds, one, other)
            print(f"| {one} over {other} | {asked:+.2f} | {got:+.2f} ± {1.96 * error:.2f} |")
        else:
            print(f"| {one} over {other} | not both drawn | |")


def samples_of(folder: StepFolder, prompts: dict[str, Prompt]) -> Samples:
    """The answers that a step drew."""
    ids = dict.fromkeys(read_table(folder.samples)["prompt_id"])
    return Samples.load(folder.samples, [prompts[i] for i in ids])


def difference(moved: NDArray[np.float64], kinds: NDArray[np.str_], one: str, other: str) -> tuple[float, float]:
    """Of the means of two kinds, and its standard error."""
    a, b = moved[kinds == one], moved[kinds == other]
    return float(a.mean() - b.mean()), float(np.sqrt(a.var() / a.size + b.var() / b.size))


if __name__ == "__main__":
    main()
