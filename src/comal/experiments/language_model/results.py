"""`comal reproduce lm`: the figures of all seeds of a part, as one typed table; and what the parts will cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from comal.algorithms.base import TARGET
from comal.algorithms.best_response import BestResponse
from comal.errors import RunError
from comal.evaluation.estimates import DIFFERENCE, SHARE, Estimate
from comal.evaluation.exploitability.certificate import Certificate
from comal.evaluation.exploitability.scoreboard import START
from comal.experiments.language_model.over_seeds import OverSeeds, over_seeds
from comal.experiments.language_model.plan import Part
from comal.experiments.language_model.runs import is_done, kept_certificates
from comal.experiments.language_model.scores import SeedScores, kept_scores
from comal.pipeline.certify.settings import STEPS
from comal.pipeline.cost.walk import cost_of_steps
from comal.pipeline.disk.experiment_folder import ExperimentFolder

_TOKENS_A_SECOND = 3000
"""Tokens, at most, that a CPU core samples, scores and trains on a second with the model of the recipe `docstrings`."""


@dataclass(frozen=True, slots=True)
class MethodResult:
    """A method over all seeds.

    Attributes:
        worst_case: win rate of the strongest adversary against the last policy.
        picked: the same of the policy that validation win rates against the start would pick.
        picked_steps: after how many steps that was, by seed.
        excess: worst case less the first method's, compared prompt by prompt.
        win_rate: against the starting model.
        kl: KL to the starting model, nats an answer.
        beaten: win rate of the part's first method against it.
        kinds: win rate of the strongest adversary of each kind.
        pairs: judged in training, by seed.
    """

    key: str
    title: str
    worst_case: OverSeeds
    picked: OverSeeds
    picked_steps: tuple[int, ...]
    excess: OverSeeds
    win_rate: OverSeeds
    kl: OverSeeds
    beaten: OverSeeds
    kinds: Mapping[str, OverSeeds]
    pairs: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ResultTable:
    """A part under one judge.

    Attributes:
        prompts: tested, of each seed.
        methods: in the plan's order, the starting model last.
        policies: names of the matrix's rows, for people.
        matrix: win rates of rows against columns, means over seeds, shape (n, n).
        half: half of their 95% intervals over prompts, for these trained policies, shape (n, n).
    """

    part: str
    judge: str
    seeds: tuple[int, ...]
    prompts: tuple[int, ...]
    methods: tuple[MethodResult, ...]
    policies: tuple[str, ...]
    matrix: NDArray[np.float64]
    half: NDArray[np.float64]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        matrix = {"policies": self.policies, "win_rate": self.matrix.tolist(), "half": self.half.tolist()}
        return {
            "judge": self.judge,
            "seeds": self.seeds,
            "prompts": self.prompts,
            "methods": [asdict(method) for method in self.methods],
            "cross_play": matrix,
        }


@dataclass(frozen=True, slots=True)
class ExploitedResult:
    """What certificates of all seeds say of a method.

    Attributes:
        trained: win rate of each trained exploiter, by its name.
        worst_case: of the strongest of all adversaries.
        ceiling: the highest of the seeds' ceilings: no adversary that was tried wins more, with 95% confidence.
    """

    key: str
    title: str
    trained: Mapping[str, OverSeeds]
    worst_case: OverSeeds
    ceiling: float


@dataclass(frozen=True, slots=True)
class PartResult:
    """All that a part found."""

    part: Part
    seeds: tuple[int, ...]
    tables: tuple[ResultTable, ...]
    exploited: tuple[ExploitedResult, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "title": self.part.title,
            "seeds": self.seeds,
            "tables": [table.to_json() for table in self.tables],
            "exploited": [asdict(result) for result in self.exploited],
            "left_out": dict(self.part.left_out),
        }


def table_of(part: Part, judge: str, scores: Sequence[SeedScores]) -> ResultTable:
    """The seeds' figures together."""
    titles = {**part.titles, START: "start"}
    first = scores[0].policies.index(next(iter(part.titles)))
    methods = tuple(_method(key, title, first, scores) for key, title in titles.items())
    half = np.sqrt(np.mean([((s.high - s.low) / 2) ** 2 for s in scores], axis=0) / len(scores))
    matrix = np.mean([s.matrix for s in scores], axis=0)
    seeds, prompts = tuple(s.seed for s in scores), tuple(s.prompts for s in scores)
    rows = tuple(titles[key] for key in scores[0].policies)
    return ResultTable(part.name, judge, seeds, prompts, methods, rows, matrix, half)


def _method(key: str, title: str, first: int, scores: Sequence[SeedScores]) -> MethodResult:
    column = scores[0].policies.index(key)
    finals = [s.final[key] for s in scores]
    beaten = [
        Estimate(
            float(s.matrix[first, column]), float(s.low[first, column]), float(s.high[first, column]), s.prompts, 0
        )
        for s in scores
    ]
    kinds = [kind for kind in finals[0].kinds if all(kind in f.kinds for f in finals)]
    return MethodResult(
        key,
        title,
        over_seeds([f.worst_case for f in finals], SHARE),
        over_seeds([s.picked[key].worst_case for s in scores], SHARE),
        tuple(s.picked[key].step for s in scores),
        over_seeds([f.excess for f in finals], DIFFERENCE),
        over_seeds([f.win_rate if key != START else _even(f.win_rate) for f in finals], SHARE),
        over_seeds([f.kl for f in finals], None),
        over_seeds(beaten, SHARE),
        {kind: over_seeds([f.kinds[kind] for f in finals], SHARE) for kind in kinds},
        tuple(f.pairs for f in finals),
    )


def _even(rate: Estimate) -> Estimate:
    """The start against itself."""
    return Estimate(0.5, 0.5, 0.5, rate.prompts, 0)


def exploited(part: Part, certificates: Sequence[Sequence[Certificate]]) -> tuple[ExploitedResult, ...]:
    """The seeds' certificates together, method by method."""
    found = []
    for (key, (_, method)), title in zip(part.sources.items(), part.titles.values(), strict=True):
        own = [next(c for c in of_seed if c.policy == method) for of_seed in certificates]
        names = [a.name for a in own[0].adversaries if a.kind == "trained exploiter"]
        trained = {
            name: over_seeds([next(a.win_rate for a in c.adversaries if a.name == name) for c in own], SHARE)
            for name in sorted(names)
        }
        worst = over_seeds([c.worst_case.win_rate for c in own], SHARE)
        found.append(ExploitedResult(key, title, trained, worst, max(c.ceiling for c in own)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Cost:
    """What is left of a part, for all seeds.

    Attributes:
        methods: to train or to go on training, exploiters counted.
        pairs: judged in their training.
        seconds: of one CPU core, roughly, with the model of the recipe `docstrings`; the judge's time is not in it.
    """

    methods: int
    pairs: int
    seconds: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.methods + other.methods, self.pairs + other.pairs, self.seconds + other.seconds)


def cost_of(part: Part, seeds: Sequence[int], folder: Path, counted: set[str]) -> Cost:
    """What is left to train; runs in `counted` are left out, and those of this part join it."""
    total = Cost(0, 0, 0.0)
    for seed in seeds:
        for run in part.runs:
            name = run.folder(seed)
            own = ExperimentFolder(folder).run(name)
            if name in counted or own.is_finished:
                continue
            counted.add(name)
            for key, method in run.methods.items():
                if not own.method(method).has_taken(run.recipe.steps):
                    cost = run.costs[key]
                    seconds = cost.answers * run.recipe.policy.max_new_tokens / _TOKENS_A_SECOND
                    total += Cost(1, cost.pairs, seconds)
        if part.exploiters:
            total += _exploiter_cost(part, seed, folder)
    return total


def _exploiter_cost(part: Part, seed: int, folder: Path) -> Cost:
    recipe, sampling = part.runs[0].recipe, part.runs[0].recipe.sampling
    steps = min(STEPS, recipe.steps)
    one = cost_of_steps(BestResponse(eta=1.0), sampling, steps, given={TARGET: "target"})
    seconds = one.answers * recipe.policy.max_new_tokens / _TOKENS_A_SECOND
    where = ExperimentFolder(folder).certification(part.name, seed)
    # each is exploited from itself and from the start
    left = sum(2 * (not where.policy(method).is_certified) for _, method in part.sources.values())
    return Cost(left, left * one.pairs, left * seconds)


def finished(folder: Path, part: Part, seeds: Sequence[int]) -> PartResult | None:
    """What a part found earlier, if it was carried out for all these seeds on this recipe."""
    try:
        return _finished(folder, part, seeds)
    except RunError:  # another recipe's
        return None


def _finished(folder: Path, part: Part, seeds: Sequence[int]) -> PartResult | None:
    if not all(is_done(folder, run, seed) for run in part.runs for seed in seeds):
        return None
    tables = []
    for judge in part.judges:
        known = [kept_scores(folder, part, judge, seed) for seed in seeds]
        found = [scores for scores in known if scores is not None]
        if len(found) < len(seeds):
            return None
        tables.append(table_of(part, judge, found))
    certificates = [kept_certificates(folder, part, seed) for seed in seeds] if part.exploiters else []
    whole = [of_seed for of_seed in certificates if of_seed is not None]
    if len(whole) < len(certificates):
        return None
    return PartResult(part, tuple(seeds), tuple(tables), exploited(part, whole) if whole else ())
