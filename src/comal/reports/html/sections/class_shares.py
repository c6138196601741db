"""Classes of answers (styles) over a run: their shares step by step, and the game that the judge plays between them.

Everything is read from sampled answers and their verdicts; the recipe's `evaluation.classes` names an answer's class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from comal.games import PreferenceGame, nash_policy
from comal.importing import load_object
from comal.pipeline.disk.files import read_table
from comal.pipeline.disk.method_folder import StepFolder
from comal.reports.html.run_data import MethodData, RunData

MALFORMED = "malformed"
"""The class of answers that nobody wants: it takes no corner of the simplex."""
Shares: TypeAlias = tuple[tuple[int, Mapping[str, float]], ...]
"""After how many steps, which share each class has."""
_MAJOR = 0.02  # a class that never reaches this share is no corner of the simplex either
_FEWEST_VERDICTS = 20  # fewer judged pairs of two classes say nothing
_MARGIN = 0.01  # of a strict win, as in comal.evaluation.exploitability.adversaries.cyclic_share


@dataclass(frozen=True, slots=True)
class ClassGame:
    """How often the judge prefers answers of one class to those of another.

    Attributes:
        names: the classes; where three beat one another in a circle, each beats the next.
        table: `table[i][j]` is Pr(class i > class j).
        cyclic: whether there is such a circle.
        nash: shares of the Nash policy of this table, as if an answer were its class and nothing else.
    """

    names: tuple[str, ...]
    table: tuple[tuple[float, ...], ...]
    cyclic: bool
    nash: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ClassData:
    """Classes of a run's answers.

    Attributes:
        names: major classes, those of the game first, malformed last.
        shares: for each method the shares of all classes after so many steps.
        game: between the major classes but malformed; None when too few pairs were judged.
    """

    names: tuple[str, ...]
    shares: Mapping[str, Shares]
    game: ClassGame | None

    @property
    def corners(self) -> tuple[str, ...] | None:
        """The three classes of the simplex, or None when there are not exactly three."""
        major = tuple(name for name in self.names if name != MALFORMED)
        return major if len(major) == 3 else None

    def path(self, method: str) -> list[tuple[float, float, float]]:
        """Shares of the three corners among one another, step by step."""
        points = []
        for _, shares in self.shares[method]:
            a, b, c = (shares.get(name, 0.0) for name in self.corners or ())
            if (total := a + b + c) > 0:
                points.append((a / total, b / total, c / total))
        return points


def classifier(run: RunData) -> Callable[[str], str] | None:
    """The function that names an answer's class; None when the recipe has none or it cannot be loaded."""
    path = run.recipe["evaluation"]["classes"]
    if not path:
        return None
    try:
        function = load_object(path, "evaluation.classes")
        function("")
    except Exception:
        return None  # anybody's code: a run that has ended well must not lose its report to it

    @cache
    def classify(text: str) -> str:
        try:
            return str(function(text))
        except Exception:
            return "no class"

    return classify


def class_data(run: RunData, classify: Callable[[str], str] | None) -> ClassData | None:
    """Shares and game of a run's classes; None without a classifier or any sampled answer."""
    if classify is None:
        return None
    shares = _with_common_start({m.name: _shares(m, classify) for m in run.methods})
    highest: dict[str, float] = {}
    for _, found in (point for points in shares.values() for point in points):
        for name, share in found.items():
            highest[name] = max(highest.get(name, 0.0), share)
    major = sorted(name for name, share in highest.items() if share >= _MAJOR and name != MALFORMED)
    if not major:
        return None
    game = _game(run, classify, major)
    ordered = game.names if game is not None else tuple(major)
    return ClassData(ordered + ((MALFORMED,) if highest.get(MALFORMED, 0.0) >= _MAJOR else ()), shares, game)


def _shares(method: MethodData, classify: Callable[[str], str]) -> Shares:
    points: list[tuple[int, Mapping[str, float]]] = []
    for step in method.steps:
        path = step.folder.samples
        if step.samples_policy and path.is_file():
            texts = read_table(path)["text"]
            counts = Counter(classify(text) for text in texts)
            points.append((step.number, {name: count / len(texts) for name, count in sorted(counts.items())}))
    last = method.looks[-1] if method.looks else None
    if last is not None and last.figures.classes is not None and last.step == len(method.steps):
        points.append((last.step, last.figures.classes))  # nothing was sampled for training after the last step
    return tuple(points)


def _with_common_start(shares: Mapping[str, Shares]) -> dict[str, Shares]:
    """All methods start from one policy: their first samples are put together, so that their paths begin together."""
    firsts = [points[0][1] for points in shares.values() if points and points[0][0] == 0]
    names = sorted({name for first in firsts for name in first})
    start = {name: sum(first.get(name, 0.0) for first in firsts) / len(firsts) for name in names}
    return {
        method: ((0, start), *points[1:]) if points and points[0][0] == 0 else points
        for method, points in shares.items()
    }


def _game(run: RunData, classify: Callable[[str], str], names: Sequence[str]) -> ClassGame | None:
    """The mean verdict on pairs of answers of two classes, over all training verdicts of the run."""
    number = {name: i for i, name in enumerate(names)}
    total = np.zeros((len(names), len(names)))
    count = np.zeros_like(total)
    for step in (step for method in run.methods for step in method.steps):
        known = _classes_by_id(step.folder, classify)
        for path in step.folder.all_verdicts():
            table = read_table(path)
            for first, second, p in zip(table["first_id"], table["second_id"], table["probability"], strict=True):
                i, j = number.get(known.get(first, "")), number.get(known.get(second, ""))
                if p is None or i is None or j is None or i == j:
                    continue
                total[i, j] += p
                total[j, i] += 1 - p
                count[i, j] += 1
                count[j, i] += 1
    off = ~np.eye(len(names), dtype=bool)
    if len(names) < 2 or count[off].min() < _FEWEST_VERDICTS:
        return None
    P = PreferenceGame.from_counts(total, names).P
    order, cyclic = _circle(P)
    P = P[np.ix_(order, order)]
    return ClassGame(
        tuple(names[i] for i in order),
        tuple(tuple(float(p) for p in row) for row in P),
        cyclic,
        tuple(float(p) for p in nash_policy(PreferenceGame(P))),
    )


def _classes_by_id(folder: StepFolder, classify: Callable[[str], str]) -> dict[str, str]:
    known: dict[str, str] = {}
    for path in folder.judged_answers():
        table = read_table(path)
        known |= {answer: classify(text) for answer, text in zip(table["answer_id"], table["text"], strict=True)}
    return known


def _circle(P: NDArray[np.float64]) -> tuple[list[int], bool]:
    """Classes so ordered that the first three beat one another in a circle, if any three do."""
    everything = range(len(P))
    for a, b, c in permutations(everything, 3):
        if min(P[a, b], P[b, c], P[c, a]) > 0.5 + _MARGIN:
            return [a, b, c, *(i for i in everything if i not in (a, b, c))], True
    return list(everything), False
