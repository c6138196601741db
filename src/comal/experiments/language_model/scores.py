"""`comal reproduce lm`: all policies of a part and seed on the same test prompts, against one field of adversaries.

The runs have drawn everybody's answers already, so a judge, trained on or held out, only has to read them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from comal.evaluation.crossplay.crossplay import CrossPlay, cross_play
from comal.evaluation.estimates import DIFFERENCE, SHARE, Estimate, estimate
from comal.evaluation.exploitability.adversaries import Adversary, Kind, class_shares, exposure, worst_case
from comal.evaluation.exploitability.scoreboard import START, Field
from comal.experiments.language_model.plan import Part
from comal.judges.asking.oracle import Oracle
from comal.judges.base import Judge
from comal.pipeline.disk.experiment_folder import ExperimentFolder
from comal.pipeline.disk.files import write_json
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.disk.result import step_of
from comal.pipeline.step.samples import Samples
from comal.plugins import describe
from comal.policies.base import Prompt
from comal.recipes.settings import Recipe
from comal.records import read, to_json
from comal.resolve import resolve_classifier, resolve_judge

_FORMAT = 1
_KINDS: tuple[Kind, ...] = ("another policy", "one class only", "best of N")

Rates = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known of one policy of one seed.

    Attributes:
        worst_case: the strongest adversary's win rate, cross-fitted.
        adversaries: which one that is, as each half of the prompts chose it.
        kinds: the strongest adversary of each kind, cross-fitted.
        excess: worst case less that of the part's first method, prompt by prompt.
        win_rate: against the starting model.
        kl: KL(policy || starting model), nats an answer.
        step: proximal steps that made it.
        pairs: judged to train its method.
        classes: share of each class of answers.
    """

    worst_case: Estimate
    adversaries: tuple[str, ...]
    kinds: Mapping[str, Estimate]
    excess: Estimate
    win_rate: Estimate
    kl: Estimate
    step: int
    pairs: int
    classes: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class SeedScores:
    """Everything measured of a part's policies of one seed under one judge.

    Attributes:
        final: of every method's last policy, by key, and of `start`.
        picked: of the policies that validation win rates against the start would pick; the same where that is the last.
        policies: names of the matrix's rows, `start` first.
        matrix, low, high: win rates of rows against columns with bootstrap intervals over prompts, shape (n, n).
    """

    seed: int
    prompts: int
    final: Mapping[str, Figures]
    picked: Mapping[str, Figures]
    policies: tuple[str, ...]
    matrix: Rates
    low: Rates
    high: Rates


@dataclass(frozen=True, slots=True, eq=False)
class _Matrices:
    policies: tuple[str, ...]
    matrix: Rates
    low: Rates
    high: Rates


@dataclass(frozen=True, slots=True, eq=False)
class _KeptScores:
    """The content of a file of figures; `of` is a digest of all that they depend on."""

    of: str
    judge: Any
    part: str
    seed: int
    prompts: int
    final: Mapping[str, Figures]
    picked: Mapping[str, Figures]
    cross_play: _Matrices

    @property
    def scores(self) -> SeedScores:
        play = self.cross_play
        return SeedScores(
            self.seed, self.prompts, self.final, self.picked, play.policies, play.matrix, play.low, play.high
        )


def score_path(folder: Path, part: Part, judge: str, seed: int) -> Path:
    """Where the figures of a part, judge and seed are kept."""
    return ExperimentFolder(folder).scores(part.name, judge, seed)


def scores(folder: Path, part: Part, judge: str, seed: int, told: Callable[[str], None]) -> SeedScores:
    """The figures of a finished part under one of its judges; computed where they are not there yet."""
    kept = kept_scores(folder, part, judge, seed)
    if kept is not None:
        return kept
    told(f"{part.name}, seed {seed}: {len(part.titles)} methods before {judge}")
    built = resolve_judge(part.judges[judge], "judge")
    measured = _measured(folder, part, seed, built)
    write_json(score_path(folder, part, judge, seed), to_json(measured))
    return measured.scores


def kept_scores(folder: Path, part: Part, judge: str, seed: int) -> SeedScores | None:
    """The same, where they are there already and of these very runs."""
    path = score_path(folder, part, judge, seed)
    if not path.is_file():
        return None
    digest = _digest(folder, part, seed, resolve_judge(part.judges[judge], "judge"))
    kept = read(_KeptScores, path)
    return kept.scores if kept.of == digest else None


def _digest(folder: Path, part: Part, seed: int, judge: Judge) -> str:
    """A name for all that figures depend on: equal runs have equal results."""
    results = [ExperimentFolder(folder).run(run.folder(seed)).result().to_json() for run in part.runs]
    sources = {key: (run.name, method) for key, (run, method) in part.sources.items()}
    text = json.dumps([_FORMAT, judge.fingerprint(), sources, results], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Row:
    """A policy in the field: its answers, candidates for best-of-N, and what its run says of it."""

    answers: list[list[str]]
    candidates: list[list[str]]
    kl: Estimate
    step: int
    pairs: int


def _measured(folder: Path, part: Part, seed: int, judge: Judge) -> _KeptScores:
    recipe = part.runs[0].of_seed(seed)
    experiment = ExperimentFolder(folder)
    home = experiment.run(part.runs[0].folder(seed))
    prompts = list(home.prompts().test[: recipe.evaluation.test_prompts])
    rows: dict[str, _Row] = {START: _row(home, START, START, recipe, prompts)}
    picks: dict[str, str] = {START: START}
    for key, (run, method) in part.sources.items():
        where = experiment.run(run.folder(seed))
        rows[key] = _row(where, method, method, recipe, prompts)
        picked = (where.result().picked or {})[method]
        picks[key] = key if picked == method else f"{key}@{step_of(picked)}"
        if picked != method:
            rows[picks[key]] = _row(where, method, picked, recipe, prompts)
    tolerated = recipe.evaluation.max_failure_rate
    if tolerated is None:
        tolerated = recipe.sampling.max_failure_rate
    oracle = Oracle(judge, experiment.verdicts(recipe.verdict_cache), tolerated, spend_path=experiment.spend)
    texts = [prompt.text for prompt in prompts]
    play = cross_play(oracle, texts, {name: row.answers for name, row in rows.items()})
    play.game()  # refuses a pair of policies without any verdict
    field = _field(oracle, texts, recipe, rows[START])
    rates = {name: _adversaries(field, name, rows, play) for name in rows}
    by_name = {name: _by_name(found) for name, found in rates.items()}
    worst = {name: worst_case(found) for name, found in by_name.items()}
    exposed = {name: exposure(by_name[name], worst[name].names) for name in rows}
    reference = next(iter(part.titles))
    first = exposed[reference]
    none = Estimate(0.0, 0.0, 0.0, int(np.isfinite(first).sum()), int(np.isnan(first).sum()))

    def figures(name: str) -> Figures:
        row = rows[name]
        return Figures(
            worst_case=worst[name].win_rate,
            adversaries=worst[name].names,
            kinds=_kinds(rates[name]),
            excess=none if name == reference else estimate(exposed[name] - first, DIFFERENCE),
            win_rate=estimate(play.rates[:, play.policies.index(name), 0], SHARE),
            kl=row.kl,
            step=row.step,
            pairs=row.pairs,
            classes={} if field.classify is None else class_shares(row.answers, field.classify),
        )

    finals = [START, *part.titles]
    order = [play.policies.index(name) for name in finals]
    square = np.ix_(order, order)
    return _KeptScores(
        of=_digest(folder, part, seed, judge),
        judge=describe(judge),
        part=part.name,
        seed=seed,
        prompts=len(prompts),
        final={name: figures(name) for name in finals},
        picked={name: figures(picks[name]) for name in finals},
        cross_play=_Matrices(tuple(finals), play.matrix[square], play.low[square], play.high[square]),
    )


def _row(run: RunFolder, method: str, policy: str, recipe: Recipe, prompts: list[Prompt]) -> _Row:
    """A policy of a finished run: its start, a method's last one, or `method@step`."""
    samples = Samples.load(run.answers(policy), prompts)
    count = recipe.evaluation.samples
    result = run.result().policies
    at = step_of(policy)
    if at is None:
        at = 0 if method == START else run.method(method).final().steps
    return _Row(
        samples.part(0, count).texts,
        samples.part(count).texts,
        result[policy].kl_start,
        at,
        result[method].comparisons,
    )


def _field(oracle: Oracle, texts: list[str], recipe: Recipe, start: _Row) -> Field:
    classify = resolve_classifier(recipe.evaluation.classes, "evaluation.classes")
    answers = [*start.answers, *start.candidates]
    classes = [] if classify is None else sorted({classify(text) for group in answers for text in group})
    return Field(oracle, texts, recipe.evaluation.best_of, classify, classes, recipe.seed)


def _adversaries(field: Field, name: str, rows: Mapping[str, _Row], play: CrossPlay) -> dict[Adversary, Rates]:
    """Every adversary's win rates against a policy; the other policies' are those of the cross-play."""
    column = play.policies.index(name)
    pool = {
        Adversary("another policy", other): play.rates[:, i, column]
        for i, other in enumerate(play.policies)
        if other != name
    }
    answers = {origin: rows[origin].answers for origin in dict.fromkeys([START, name])}
    candidates = {origin: rows[origin].candidates for origin in answers}
    rates = pool | {who: r for who, r in field.adversaries(name, answers, candidates).items() if who not in pool}
    return {who: values for who, values in rates.items() if np.isfinite(values).sum() >= 2}


def _kinds(rates: Mapping[Adversary, Rates]) -> dict[str, Estimate]:
    found: dict[str, Estimate] = {}
    for kind in _KINDS:
        of_kind = {who: values for who, values in rates.items() if who.kind == kind}
        if of_kind:
            found[kind] = worst_case(_by_name(of_kind)).win_rate
    return found


def _by_name(rates: Mapping[Adversary, Rates]) -> dict[str, Rates]:
    return {adversary.name: values for adversary, values in rates.items()}
