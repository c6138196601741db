"""The final evaluation: every method's last policy against all adversaries, on prompts that nothing was chosen by."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from comal.evaluation.estimates import DIFFERENCE, estimate
from comal.evaluation.exploitability.adversaries import cyclic_share
from comal.evaluation.exploitability.certificate import AnsweredPrompt
from comal.evaluation.exploitability.scoreboard import START, Score, score_policy
from comal.pipeline.disk.files import count_rows
from comal.pipeline.disk.journal import read_entries
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.disk.method_folder import MethodFolder
from comal.pipeline.disk.progress import FileProgress
from comal.pipeline.disk.result import PolicyResult, RunResult, step_of
from comal.pipeline.processes.distributed import on_main, state
from comal.pipeline.run.resources import evaluation_field, several_answers
from comal.pipeline.step.resources import Resources
from comal.pipeline.step.samples import Samples, sample_once, score
from comal.policies.base import derive_seed

_EXAMPLES = 40


def evaluate(folder: Path, resources: Resources, methods: list[str]) -> RunResult | None:
    """The content of result.json: no times in it, so that equal runs have equal results.

    Scored are the starting policy, every method's last policy and, where it is another one, the policy of each method
    that a validation win rate against the start would pick, since that is how policies usually are picked.

    All processes sample and score; only the main one asks the judge, and only it gets the figures.
    """
    recipe = resources.recipe
    prompts = resources.splits.test[: recipe.evaluation.test_prompts]
    texts = [p.text for p in prompts]
    picked = {name: picked_policy(folder, name) for name in methods}
    checkpoints = pool_checkpoints(folder, picked, recipe.evaluation.pool_size)
    count = recipe.evaluation.samples
    rows = list(dict.fromkeys([START, *(row for name, pick in picked.items() for row in (name, pick))]))
    samples = _answers(folder, resources, checkpoints, rows)
    answers = {name: samples[name].part(0, count) for name in rows}
    start = resources.store.scorer(checkpoints[START])
    under_start = {name: score(start, answers[name]) for name in rows}
    del start  # of a model in shards nothing is left beside the next one
    own = {START: under_start[START]}
    for name in rows[1:]:
        own[name] = score(resources.store.scorer(checkpoints[name]), answers[name])
    log_ratios = {name: (own[name] - under_start[name]).mean(axis=1) for name in rows}
    if not state().is_main_process:
        return None
    field = evaluation_field(resources, texts, samples[START].texts)
    pool = {name: s.part(0, count).texts for name, s in samples.items()}
    scored: dict[str, Score] = {}
    with field.oracle.counted():
        for name in rows:
            candidates = {origin: samples[origin].part(count).texts for origin in dict.fromkeys([START, name])}
            scored[name] = score_policy(field, name, pool, candidates)
        circles = cyclic_share(field.oracle, texts, [sorted(set(a)) for a in _joined(pool, [START, *methods])])
        counts = field.oracle.stats.settled()
    several = {}
    for name in rows:
        candidates = {origin: samples[origin].part(count).texts for origin in dict.fromkeys([START, name])}
        several[name] = several_answers(resources, field, name, pool, candidates) or None
    first = scored[methods[0]].exposed
    policies = {
        name: PolicyResult(
            scored[name].figures,
            estimate(log_ratios[name], None),
            samples[name].mean_tokens,
            samples[name].unfinished,
            comparisons_of(folder / name) if name in methods else 0,
            None if name == methods[0] else estimate(scored[name].exposed - first, DIFFERENCE),
            several[name],
        )
        for name in rows
    }
    return RunResult(
        name=recipe.name,
        seed=recipe.seed,
        methods=tuple(methods),
        picked=picked,
        test_prompts=len(prompts),
        policies=policies,
        cyclic_prompts=circles,
        oracle=counts,
        examples=tuple(
            AnsweredPrompt(texts[x], {name: pool[name][x][0] for name in [START, *methods]})
            for x in range(min(_EXAMPLES, len(texts)))
        ),
    )


def answer_test_prompts(folder: Path, resources: Resources, method: str, parent: int | None) -> None:
    """Draw the answers of one method's policies that `evaluate` will want: methods side by side can do that at once.

    Raises:
        OrphanedError: the process `parent` started this one and is gone.
    """
    pick = picked_policy(folder, method)
    pool = pool_checkpoints(folder, {method: pick}, resources.recipe.evaluation.pool_size)
    del pool[START]
    _answers(folder, resources, pool, [method, pick], parent)


def _answers(
    folder: Path,
    resources: Resources,
    checkpoints: Mapping[str, str | Path],
    rows: list[str],
    parent: int | None = None,
) -> dict[str, Samples]:
    """Answers of policies to the test prompts; those that are scored get best-of-N candidates on top."""
    run = RunFolder(folder)
    settings = resources.recipe.evaluation
    prompts = resources.splits.test[: settings.test_prompts]
    progress = FileProgress(run.progress, len(checkpoints), parent)
    samples: dict[str, Samples] = {}
    for number, (name, checkpoint) in enumerate(checkpoints.items()):
        progress.stage("final evaluation", number)
        path = run.answers(name)
        count = settings.samples + (max(settings.best_of, default=0) if name in rows else 0)
        on_main(functools.partial(_forget_other_count, path, count * len(prompts)))
        sampler = None if path.is_file() else resources.store.sampler(checkpoint)
        samples[name] = sample_once(path, sampler, prompts, count, derive_seed(resources.recipe.seed, "test", name))
    return samples


def _forget_other_count(path: Path, rows: int) -> None:
    """Before a run was extended a policy may have been asked for more answers, or fewer: in either case for others."""
    if path.is_file() and count_rows(path) != rows:
        path.unlink()


def picked_policy(folder: Path, method: str) -> str:
    """The policy of a method with the best win rate against the start on the validation prompts: `method@step`."""
    own = RunFolder(folder).method(method)
    last = own.final().looks[-1]
    best = max(own.looks(), key=lambda look: look.win_rate_mean)
    return method if best.step == last else f"{method}@{best.step}"


def pool_checkpoints(folder: Path, picked: Mapping[str, str], size: int) -> dict[str, str | Path]:
    """Checkpoints of the starting policy, every method's last and picked ones, and `size` of its earlier ones."""
    run = RunFolder(folder)
    start = run.start(run.recipe())
    pool: dict[str, str | Path] = {START: start}
    for name in picked:
        # An extragradient method that is stopped after its first half step has no policy of its own yet.
        pool[name] = run.method(name).policy(run.method(name).final().checkpoint, start)
    for name, pick in picked.items():
        method = run.method(name)
        earlier = method.final().looks[:-1]
        even = np.unique(np.linspace(0, len(earlier) - 1, min(size, len(earlier))).round().astype(int))
        picked_step = step_of(pick)
        steps = {earlier[i] for i in even} | (set() if picked_step is None else {picked_step})
        for look in sorted(steps):
            pool[f"{name}@{look}"] = method.policy(method.look_after(look).checkpoint, start)
    return pool


def comparisons_of(method: Path) -> int:
    """Judged pairs of answers that a method took, read from its journal."""
    return sum(entry.metrics.comparisons or 0 for entry in read_entries(MethodFolder(method).journal))


def _joined(pool: dict[str, list[list[str]]], names: list[str]) -> list[list[str]]:
    count = len(next(iter(pool.values())))
    return [[a for name in names for a in pool[name][x][:4]] for x in range(count)]
