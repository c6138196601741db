"""People's verdicts from a file, one person at a time: the users of a population whose judgements were collected.

A row is a comparison, and every person has a column:

    {"prompt": "...", "first": "...", "second": "...", "ada": "first", "grace": "second", "alan": "tie"}

as JSON lines, a JSON list, or CSV. The `input` of an `instruction` is a part of the prompt. A comparison that is there
several times has the mean of its verdicts. Where JSON has a number or a truth value for an answer, as PandaLM's file
has, no text can be the one that was judged, and the row is passed over.

A person has verdicts on the comparisons of the file and on no others: such a judge is for audits and evaluations of
answers that were judged, not for training a policy, which says what nobody has read.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from comal.errors import DataError, JudgeError, near_match
from comal.judges.base import Comparison, Judge
from comal.reading.csv_text import csv_table
from comal.reading.json_text import parse_json, parse_json_lines
from comal.reading.paths import user_path
from comal.reading.questions import require_whole, with_input
from comal.reading.text import decoded, read_bytes

_PLACE = "people.file"
_WORTH = (1.0, 0.0, 0.5)


@dataclass(frozen=True, slots=True)
class People(Judge):
    """One person's verdicts in a file.

    Attributes:
        file: JSON lines, a JSON list, or CSV.
        person: the column of this person's verdicts.
        prompt, first, second: the columns of the texts.
        marks: how the file writes that the first answer is preferred, the second, and neither.

    Raises:
        ValueError: a column that stands for two things, or marks that are alike.
    """

    file: str
    person: str
    prompt: str = "prompt"
    first: str = "first"
    second: str = "second"
    marks: tuple[str, str, str] = ("first", "second", "tie")

    symmetric: ClassVar[bool] = True
    expensive: ClassVar[bool] = False

    def __post_init__(self) -> None:
        columns = (self.person, self.prompt, self.first, self.second)
        if len(set(columns)) < len(columns) or not all(columns):
            raise ValueError(f"person: need four different columns, got {', '.join(map(repr, columns))}")
        if len(set(self.marks)) < len(self.marks):
            raise ValueError(f"marks: need three different ones, got {list(self.marks)}")

    def check(self) -> None:
        """The file can be read."""
        self._verdicts()

    def identity(self) -> dict[str, Any]:
        """The settings without the file's name, and a digest of its content."""
        settings = {key: value for key, value in Judge.identity(self).items() if key != "file"}
        return settings | {"content": hashlib.sha256(self._read()).hexdigest()}

    def compare(self, comparisons: Sequence[Comparison]) -> list[float | None]:
        """Look the verdicts up; there is none where the person was not asked.

        Raises:
            JudgeError: the file cannot be read.
        """
        known = self._verdicts()
        return [0.5 if c.first == c.second else known.get(c) for c in comparisons]

    def _read(self) -> bytes:
        try:
            return read_bytes(user_path(self.file))
        except DataError as error:
            raise JudgeError(_PLACE, str(error)) from error

    def _verdicts(self) -> Mapping[Comparison, float]:
        try:
            return _parsed(self, self._read())
        except DataError as error:
            raise JudgeError(_PLACE, str(error)) from error


@functools.lru_cache(maxsize=64)
def _parsed(judge: People, data: bytes) -> Mapping[Comparison, float]:
    """Both orders of every comparison.

    Raises:
        DataError: no rows of this kind, or an unknown mark.
    """
    said: dict[Comparison, list[float]] = {}
    for place, row in _rows(decoded(data, judge.file), judge.file):
        require_whole(row, judge.prompt, place)
        _text(row, judge.prompt, place)
        if any(isinstance(row.get(column), (bool, int, float)) for column in (judge.first, judge.second)):
            continue
        prompt = with_input(row, judge.prompt, place)
        comparison = Comparison(prompt, _text(row, judge.first, place), _text(row, judge.second, place))
        p = _verdict(judge, row, place)
        if p is None or comparison.first == comparison.second:
            continue
        said.setdefault(comparison, []).append(p)
        said.setdefault(comparison.swapped(), []).append(1 - p)
    if not said:
        raise DataError(judge.file, f"`{judge.person}` has no verdict in it")
    return {comparison: sum(given) / len(given) for comparison, given in said.items()}


def _rows(text: str, place: str) -> list[tuple[str, Mapping[str, Any]]]:
    if Path(place).suffix.lower().removesuffix(".gz") == ".csv":
        return [(where, row) for where, row in csv_table(text, place)]
    if text.lstrip().startswith("["):
        rows = [(f"{place}[{number}]", row) for number, row in enumerate(parse_json(text, place))]
    else:
        rows = parse_json_lines(text, place)
    other = next((where for where, row in rows if not isinstance(row, Mapping)), None)
    if other is not None:
        raise DataError(other, "expected an object with the texts and a verdict for each person")
    return rows


def _text(row: Mapping[str, Any], column: str, place: str) -> str:
    if column not in row:
        raise DataError(place, f"no column `{column}`.{near_match(column, list(row))}")
    value = row[column]
    if not isinstance(value, str):
        raise DataError(place, f"`{column}` should be a text, got {value!r}")
    return value


def _verdict(judge: People, row: Mapping[str, Any], place: str) -> float | None:
    if judge.person not in row:
        raise DataError(place, f"no column `{judge.person}`.{near_match(judge.person, list(row))}")
    said = row[judge.person]
    if said is None or said == "":
        return None
    worth = dict(zip(judge.marks, _WORTH, strict=True)).get(str(said))
    if worth is None:
        raise DataError(place, f"`{judge.person}` says {said!r}; need one of {', '.join(judge.marks)}, as `marks` says")
    return worth
