"""Methods against each other on matrix games, exact and from sampled comparisons, at equal oracle calls.

A cell is one method at one setting on one set of games; its result is a small JSON file, so that an interrupted
comparison continues where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from comal.algorithms.base import Algorithm
from comal.algorithms.comal import COMAL
from comal.algorithms.comal_sampled import SampledCOMAL
from comal.errors import ConfigError, near_match
from comal.evaluation.estimates import estimate
from comal.experiments.matrix_games.family import AUTOMATIC, METHODS, SCHEDULES, Method
from comal.games import PreferenceGame, Sampling, named_game, nash_policy, run_sampled, solve
from comal.games.game import Floats
from comal.pipeline.disk.experiment_folder import CellsFolder
from comal.records import INLINE, read, to_json

PARTS = (
    "sampled/paper",
    "sampled/random:5",
    "sampled/random:10",
    "sampled/bradley-terry:5",
    "sampled/condorcet:5",
    "exact/paper",
    "exact/random",
    "exact/condorcet:10",
    "exact/bradley-terry:10",
    "schedules",
)

_VERSION = 2  # of what a cell computes
_MARKS = 40
_MIXED = 1e-6  # probability above which an answer counts as part of a Nash policy
_LARGE = 100
_FEW = 3  # games of that size or more: one costs seconds a method
_REPORTED = ("random:5", "random:10", "paper")  # where the manual schedule found on `development` has to hold
SEARCH_SEED, REPORT_SEED = 1, 2
"""Seeds of the comparisons: manual schedules are searched with one and reported with the other."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything: quick by default, full for the figures of the documentation."""

    games: int
    seeds: int
    comparisons: int
    grid: bool
    steps: int
    sizes: tuple[int, ...]


QUICK = Scale(games=4, seeds=5, comparisons=2_000, grid=False, steps=1_000, sizes=(10, 30))
FULL = Scale(games=20, seeds=20, comparisons=5_000, grid=True, steps=2_000, sizes=(10, 30, 100, 300, 1000))


@dataclass(frozen=True, slots=True)
class Cell:
    """One method at one setting on one set of games.

    Attributes:
        games: name of the set, see `game_set`.
        method: name.
        values: the setting.
        interpreter: "exact", "reuse" (sampled, with a running record), "chosen" (the same, and every method chooses its
            comparisons as COMAL does by default) or "fresh" (sampled, each step on its own).
        seed: of sampled comparisons; unused when exact.
    """

    games: str
    method: str
    values: tuple[float, ...]
    interpreter: str
    seed: int = REPORT_SEED

    @property
    def rule(self) -> Method:
        """The method."""
        return SCHEDULES if self.method == "COMAL, manual" else METHODS[self.method]


@dataclass(frozen=True, slots=True)
class Band:
    """A mean and its 95% interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CellResult:
    """What came of a cell.

    Attributes:
        settings: the setting, for people.
        default: whether it is the method's default.
        calls: oracle calls at the marks.
        curve: mean gap there.
        last, best: means of the last and of the least gap of each run.
        by_game: last gap of each game.
    """

    cell: Cell = field(metadata=INLINE)
    settings: str
    default: bool
    calls: tuple[int, ...]
    curve: tuple[Band, ...]
    last: Band
    best: Band
    by_game: tuple[float, ...]


def game_set(name: str, count: int) -> PreferenceGame:
    """The games of a set as a batch: `paper`, or `random`, `development`, `condorcet`, `bradley-terry` with `:n`.

    `random` and `development` hold games with mixed Nash policies only and share none.
    """
    kind, _, size = name.partition(":")
    n = int(size or 3)
    if kind == "paper":
        return PreferenceGame(named_game("paper").P[None], name=name)
    makers: dict[str, Callable[[int], str]] = {
        "random": lambda seed: f"random:n={n},seed={1_000 + seed}",
        "development": lambda seed: f"random:n={n},seed={seed}",
        "condorcet": lambda seed: f"condorcet:n={n},margin=0.1,seed={1_000 + seed}",
        "bradley-terry": lambda seed: f"bradley_terry:n={n},seed={1_000 + seed}",
    }
    tables: list[Floats] = []
    seed = 0
    while len(tables) < (count if n < _LARGE else min(count, _FEW)):
        game = named_game(makers[kind](seed))
        seed += 1
        if kind in ("random", "development") and n < _LARGE and (nash_policy(game) > _MIXED).sum() < 2:
            continue
        tables.append(game.P)
    return PreferenceGame(np.stack(tables), name=name)


def cells(part: str, scale: Scale) -> list[Cell]:
    """What a part of the comparison consists of.

    Parts are `exact/` and `sampled/` with a set of games, and `schedules`: COMAL by hand, every schedule of the grid on
    development games, for `results` to take the best to games it was not chosen on.
    """
    family, _, games = part.partition("/")
    if family == "schedules":
        found = [Cell("development:5", "COMAL, manual", v, "reuse", SEARCH_SEED) for v in SCHEDULES.grid]
        return [*found, Cell("development:5", AUTOMATIC, (), "reuse", SEARCH_SEED)]
    interpreters = ("exact",) if family == "exact" else ("reuse", "chosen", "fresh")
    large = int(games.partition(":")[2] or 3) >= _LARGE  # grids on the smaller games only
    result = [Cell(games, name, m.default, kind) for kind in interpreters for name, m in METHODS.items()]
    if scale.grid and not large:
        result += [Cell(games, name, v, kind) for kind in interpreters for name, m in METHODS.items() for v in m.grid]
    return list(dict.fromkeys(result))


def planned(wanted: Sequence[str], scale: Scale) -> list[str]:
    """The comparisons that are wanted, one a size; `all` for every one.

    Raises:
        ConfigError: no such comparison.
    """
    for part in wanted:
        if part not in (*PARTS, "all"):
            raise ConfigError("--part", f"`{part}` is no comparison.{near_match(part, PARTS)}, all, list")
    return [one for part in (PARTS if "all" in wanted else wanted) for one in parts_of(part, scale)]


def parts_of(part: str, scale: Scale) -> list[str]:
    """A part by each size of its games, where it asks for sizes: `exact/random` becomes `exact/random:10` and so on."""
    return [f"{part}:{n}" for n in scale.sizes] if part == "exact/random" else [part]


def total(part: str, scale: Scale) -> int:
    """How many results a part has."""
    return len(cells(part, scale)) + (2 * len(_REPORTED) if part == "schedules" else 0)


def results(part: str, scale: Scale, folder: Path) -> Iterator[CellResult]:
    """Every cell's result, from its file where there is one; the manual schedules' best also on reported games."""
    found = []
    for cell in cells(part, scale):
        found.append(_kept(cell, scale, folder))
        yield found[-1]
    if part == "schedules":
        manual = [result for result in found if result.cell.method == "COMAL, manual"]
        best = min(manual, key=lambda result: result.last.mean)
        for games in _REPORTED:
            yield _kept(Cell(games, "COMAL, manual", best.cell.values, "reuse"), scale, folder)
            yield _kept(Cell(games, AUTOMATIC, (), "reuse"), scale, folder)


def _kept(cell: Cell, scale: Scale, folder: Path) -> CellResult:
    key = json.dumps([_VERSION, asdict(cell), asdict(scale), repr(cell.rule.at(cell.values))], sort_keys=True)
    path = CellsFolder(folder).cell(hashlib.sha256(key.encode()).hexdigest()[:20])
    if path.is_file():
        return read(CellResult, path)
    result = carry_out(cell, scale)
    text = json.dumps(to_json(result))
    folder.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".tmp-{os.getpid()}")
    temporary.write_text(text, "utf-8")
    temporary.replace(path)
    return result


def carry_out(cell: Cell, scale: Scale) -> CellResult:
    """Run a cell."""
    game = game_set(cell.games, scale.games)
    rule = cell.rule.at(cell.values)
    if cell.interpreter == "exact":
        calls, gaps = _exact(game, rule, scale.steps)
        by_unit = gaps
    else:
        sampling = Sampling(reuse=cell.interpreter != "fresh", choose=cell.interpreter == "chosen")
        found = run_sampled(
            game, rule, sampling, scale.comparisons, scale.seeds, None, [cell.seed, len(cell.games)], _MARKS
        )
        calls = found.comparisons
        gaps = found.gaps.reshape(len(game.P), scale.seeds, -1)
        by_unit = gaps.mean(axis=0)  # the games are given, the seeds are the sample
    best = gaps.min(axis=-1)
    best = best if cell.interpreter == "exact" else best.mean(axis=0)
    return CellResult(
        cell,
        settings=cell.rule.settings(cell.values),
        default=cell.values == cell.rule.default,
        calls=tuple(calls.tolist()),
        curve=tuple(_band(column) for column in by_unit.T),
        last=_band(by_unit[:, -1]),
        best=_band(best),
        by_game=tuple((gaps[:, -1] if cell.interpreter == "exact" else gaps[:, :, -1].mean(axis=1)).tolist()),
    )


def _exact(game: PreferenceGame, rule: Algorithm, products: int) -> tuple[NDArray[np.int64], Floats]:
    """Gaps at the marks by matrix-vector products, (games, marks); a method that has arrived stays there."""
    marks = np.unique(np.geomspace(1, products, _MARKS).astype(np.int64))
    rows = []
    for P in game.P:
        # with the table at hand COMAL without settings is another program
        exact = COMAL() if isinstance(rule, SampledCOMAL) else rule
        trajectory = solve(PreferenceGame(P), exact, 1e-12, products, None, "gaps").trajectory
        assert trajectory is not None
        at = np.maximum(np.searchsorted(trajectory.products, marks, side="right") - 1, 0)
        rows.append(trajectory.gaps[at])
    return marks, np.stack(rows)


def _band(values: Floats) -> Band:
    if len(values) < 2:
        mean = float(values.mean())
        return Band(mean, mean, mean)
    found = estimate(values, None)
    return Band(found.mean, max(0.0, found.low), found.high)  # a gap is never below 0
