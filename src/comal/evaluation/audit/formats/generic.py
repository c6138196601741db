"""Anybody's verdicts as JSON lines.

    {"prompt_id": "q1", "system_1": "a", "system_2": "b", "preference": 1}

`prompt_id`     or `prompt` or `instruction`
`system_1`      and `system_2` (or `generator_1`, `generator_2`), shown in this order
`preference`    1 or 2, whichever is preferred, "tie" or 1.5, null without a verdict; in between it is AlpacaEval's,
                which grows with the second's chances
`probability`   instead: Pr(system_1 preferred), null without a verdict
`rater`         who judged; one rater by default. Lines that differ in nothing else are repeats
`output_1`      and `output_2`, or `length_1` and `length_2` in characters, for the length bias. A system with several
                outputs to one prompt has so many answers, each compared for itself
`input`         of an `instruction`, as in the Alpaca data set: a part of the prompt
`label`         people's preference (1, 2 or "tie") for the agreement

Any other key is let pass, but a key that is nearly one of these is an error.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from comal.errors import DataError
from comal.evaluation.audit.verdicts import Row, Verdicts
from comal.reading.questions import require_whole, with_input

Rows = Sequence[tuple[str, Mapping[str, Any]]]
"""Objects, each with its place."""
_ALIASES = {
    "prompt": "prompt_id",
    "instruction": "prompt_id",
    "generator_1": "system_1",
    "generator_2": "system_2",
    "judge": "rater",
    "annotator": "rater",
}
_KNOWN = (
    "prompt_id", "system_1", "system_2", "preference", "probability", "rater", "output_1", "output_2", "length_1",
    "length_2", "label",
)  # fmt: skip
_LIKE_A_TYPO = 0.8
_LONGEST = 1e15  # characters
_QUESTION = (
    "instruction", "input", "generator_1", "generator_2", "output_1", "output_2", "annotator", "preference",
)  # fmt: skip


def objects(rows: Sequence[tuple[str, Any]]) -> Rows:
    """Rows with their places, which are objects.

    Raises:
        DataError: one that is not.
    """
    for place, row in rows:
        if not isinstance(row, Mapping):
            raise DataError(place, f"expected an object, got {str(row)[:40]!r}")
    return rows


def read_verdicts(path: Path, rows: Rows) -> Verdicts:
    """The verdicts in a file's rows; people's labels become the rater `label`.

    Raises:
        DataError: a missing, misspelt or contradictory key, a value out of range, or one system only.
    """
    return verdicts_of(path, ((place, _canonical(row, place)) for place, row in rows))


def read_annotations(path: Path, rows: Sequence[Any]) -> Verdicts:
    """The verdicts in AlpacaEval's annotations.json, as `comal eval` writes it.

    A question that is there twice, with the same answers and the same verdict, is a system's answer that came twice,
    not a judge that was asked again.

    Raises:
        DataError: as `read_verdicts`.
    """
    seen: set[tuple[str, ...]] = set()
    kept = []
    for number, row in enumerate(rows):
        if isinstance(row, Mapping):
            texts = [row.get(key) for key in ("output_1", "output_2")]
            if all(isinstance(text, str) for text in texts):
                key = tuple(repr(row.get(k)) for k in _QUESTION)
                if key in seen:
                    continue
                seen.add(key)
        kept.append((f"{path}[{number}]", row))
    return read_verdicts(path, objects(kept))


def verdicts_of(path: Path, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> Verdicts:
    """The verdicts in rows under the names above, each with its place; other keys are let pass.

    Raises:
        DataError: as `read_verdicts`.
    """
    reader = _Reader()
    for place, row in rows:
        reader.add(row, place)
    return reader.verdicts(path)


@dataclass
class _Reader:
    prompts: dict[str, int] = field(default_factory=dict)
    systems: dict[str, int] = field(default_factory=dict)
    raters: dict[str, int] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    asked: dict[tuple[int, int, int, int], int] = field(default_factory=dict)
    lengths: dict[tuple[int, int], float] = field(default_factory=dict)
    answers: dict[tuple[int, int], dict[str | None, int]] = field(default_factory=dict)
    columns: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any], place: str) -> None:
        names = [_needed(row, key, place) for key in ("prompt_id", "system_1", "system_2")]
        if names[1] == names[2]:
            raise DataError(place, f"compares {names[1]} with itself")
        x = self.prompts.setdefault(names[0], len(self.prompts))
        first, second = (
            self._answer(x, self.systems.setdefault(name, len(self.systems)), _output(row, side, place))
            for name, side in zip(names[1:], "12", strict=True)
        )
        rater = str(row.get("rater", "rater"))
        self._keep(x, first, second, _probability(row, place), rater)
        if "label" in row:
            self._keep(x, first, second, _preference(row["label"], f"{place}: label"), "label", once=True)
        for side, answer in (("1", first), ("2", second)):
            output = _output(row, side, place)
            length = row.get(f"length_{side}", None if output is None else len(output))
            if length is not None:
                if isinstance(length, bool) or not isinstance(length, (int, float)) or not 0 <= length < _LONGEST:
                    raise DataError(f"{place}: length_{side}", f"expected a number of characters, got {length!r}")
                self.lengths[x, answer] = float(length)

    def _answer(self, x: int, system: int, output: str | None) -> int:
        """The number of a system's answer to a prompt: told by its text, if that is known."""
        own = self.answers.setdefault((x, system), {})
        if own and output is None:
            output = next(iter(own))  # the one that another line has the text of
        elif None in own and output not in own:
            own[output] = own.pop(None)
        return self.columns.setdefault((system, own.setdefault(output, len(own))), len(self.columns))

    def _keep(self, x: int, first: int, second: int, p: float, rater: str, *, once: bool = False) -> None:
        number = self.raters.setdefault(rater, len(self.raters))
        key = (x, first, second, number)
        repeat = self.asked.get(key, 0)
        if once and (repeat or self.asked.get((x, second, first, number))):
            return  # people's label of a pair is written beside each of a judge's verdicts on it
        self.asked[key] = repeat + 1
        self.rows.append(Row(x, first, second, p, number, repeat))

    def verdicts(self, path: Path) -> Verdicts:
        if len(self.systems) < 2:
            raise DataError(str(path), "holds no comparison of two systems")
        names = list(self.systems)
        systems = tuple(sorted(names))
        columns = sorted(self.columns, key=lambda column: (names[column[0]], column[1]))
        order = {self.columns[column]: new for new, column in enumerate(columns)}
        lengths = np.full((len(self.prompts), len(columns)), np.nan)
        for (x, answer), length in self.lengths.items():
            lengths[x, order[answer]] = length
        rows = tuple(replace(row, first=order[row.first], second=order[row.second]) for row in self.rows)
        owner = tuple(systems.index(names[system]) for system, _ in columns)
        return Verdicts(str(path), tuple(self.prompts), systems, owner, tuple(self.raters), rows, lengths)


def _canonical(row: Mapping[str, Any], place: str) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for key, value in row.items():
        name = _ALIASES.get(key, key)
        if name not in _KNOWN and (near := difflib.get_close_matches(name, _KNOWN, n=1, cutoff=_LIKE_A_TYPO)):
            raise DataError(
                f"{place}: {key}", f"there is no such key. Did you mean `{near[0]}`? Known: {', '.join(_KNOWN)}"
            )
        if name not in named or key == name:
            named[name] = value
    for asking in ("instruction", "prompt"):
        if isinstance(row.get(asking), str) and named["prompt_id"] is row[asking]:
            require_whole(row, asking, place)
            named["prompt_id"] = with_input(row, asking, place)
            break
    return named


def _output(row: Mapping[str, Any], side: str, place: str) -> str | None:
    key = f"output_{side}"
    if key not in row:
        return None
    output = row[key]
    if not isinstance(output, str):
        raise DataError(
            f"{place}: {key}",
            f"expected the answer's text, got {str(output)[:60]!r}; leave the key out where it is not known",
        )
    return output


def _needed(row: Mapping[str, Any], key: str, place: str) -> str:
    value = row.get(key)
    if value is None or isinstance(value, (list, Mapping)):
        raise DataError(f"{place}: {key}", f"is needed and a text; known keys: {', '.join(_KNOWN)}")
    return str(value)


def _probability(row: Mapping[str, Any], place: str) -> float:
    if ("preference" in row) == ("probability" in row):
        raise DataError(place, "needs either `preference` (1, 2 or tie) or `probability` (of system_1), and not both")
    if "preference" in row:
        return _preference(row["preference"], f"{place}: preference")
    value = row["probability"]
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise DataError(f"{place}: probability", f"expected a number from 0 to 1 or null, got {value!r}")
    return float(value)


def _preference(value: object, place: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, str):
        word = value.strip().lower()
        if word in ("tie", "1", "2"):
            return {"tie": 0.5, "1": 1.0, "2": 0.0}[word]
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and 1 <= value <= 2:
        return 2.0 - float(value)
    raise DataError(
        place,
        f'expected 1, 2, "tie", null or a number between 1 and 2, got {value!r}; probabilities go into `probability`',
    )
