"""What judges' tools write, told from the columns, as verdicts.

mt-bench    JSONL of FastChat: `question_id`, `model_1`, `model_2`, `g1_winner`, `g2_winner`, with `judge`, `turn`
battles     JSON, JSONL, CSV of LMArena and of FastChat's people: `model_a`, `model_b`, `winner`, or Kaggle's
            `winner_model_a`, `winner_model_b`, `winner_tie`; with `question_id` or `id`, `judge`, `turn`
arena-hard  JSONL of v1 and v2: `question_id` or `uid`, `model`, `games` of two with `score`; with `baseline`, `judge`
judgebench  JSONL: `pair_id`, `question`, `response_A`, `response_B`, `label`, people's; with `judgments` of two
llmfao      CSV of crowds: `left`, `right`, `winner`, with `worker`, and `id` or `prompt`
prometheus  JSON of relative grading: `instruction`, `response_A`, `response_B`, `score` (A or B), with people's
            `preference`

Tools ask in both orders: a second game is read as one with the answers exchanged, and its winner is already named by
system (mt-bench) or still by place (arena-hard, judgebench). What is neither a winner nor a tie is no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from comal.errors import DataError, near_match
from comal.evaluation.audit.formats.generic import Rows, verdicts_of
from comal.evaluation.audit.verdicts import Row, Verdicts


@dataclass(frozen=True, slots=True)
class Grades:
    """What words are worth as Pr(the better one is preferred).

    Attributes:
        tie: 1/2; None: no verdict.
        slight: of a grade such as A>B where there is A>>B as well, which is worth 1.
    """

    tie: float | None = 0.5
    slight: float = 0.75

    @property
    def of_tie(self) -> float:
        """NaN where a tie is no verdict."""
        return math.nan if self.tie is None else self.tie


PLAIN: Final = Grades()


@dataclass(frozen=True, slots=True)
class ToolVerdicts:
    """What a tool's file holds.

    Attributes:
        tool: whose format it is.
        verdicts: the judge's, or None where there are only people's.
        people: theirs, or None.
        texts: of answers that come in pairs, each prompt with its two; None where the file names systems.
    """

    tool: str
    verdicts: Verdicts | None
    people: Verdicts | None = None
    texts: tuple[tuple[str, str, str], ...] | None = None


def tool_of(columns: Sequence[str]) -> str | None:
    """Which tool writes such columns, one of them perhaps missing; None for none of these."""
    keys = set(columns)
    if keys & {"g1_winner", "g2_winner"}:
        return "mt-bench"
    if keys & {"model_a", "model_b"}:
        return "battles"
    if "games" in keys:
        return "arena-hard"
    if keys & {"response_A", "response_B"}:
        return "judgebench" if keys & {"pair_id", "judgments", "label"} else "prometheus"
    if {"left", "right"} <= keys or ({"worker", "winner"} <= keys):
        return "llmfao"
    return None


def read_tool(tool: str, path: Path, rows: Rows, grades: Grades = PLAIN) -> ToolVerdicts:
    """The verdicts in a tool's rows, each with its place.

    Raises:
        DataError: a column that is missing, named with the nearest there is; a value that is none of its words.
    """
    if tool == "judgebench":
        return _judgebench(path, rows, grades)
    if tool == "prometheus":
        return _prometheus(path, rows)
    found = [verdict for place, row in rows for verdict in _READERS[tool](row, place, grades)]
    return ToolVerdicts(tool, verdicts_of(path, found))


Read = list[tuple[str, dict[str, Any]]]


def _mt_bench(row: Mapping[str, Any], place: str, grades: Grades) -> Read:
    _need(row, ("question_id", "model_1", "model_2", "g1_winner", "g2_winner"), place)
    words = {"model_1": 1.0, "model_2": 0.0, "tie": grades.of_tie, "error": math.nan}
    forth, back = (_word(row, key, words, place) for key in ("g1_winner", "g2_winner"))
    common = {"prompt_id": _question(row, place), "rater": _rater(row)}
    first, second = row["model_1"], row["model_2"]
    return [
        (place, common | {"system_1": first, "system_2": second, "probability": _or_none(forth)}),
        (place, common | {"system_1": second, "system_2": first, "probability": _or_none(1 - back)}),
    ]


def _battle(row: Mapping[str, Any], place: str, grades: Grades) -> Read:
    _need(row, ("model_a", "model_b"), place)
    if "winner" not in row and "winner_model_a" in row:
        _need(row, ("winner_model_b", "winner_tie"), place)
        marks = ("winner_model_a", "winner_model_b", "winner_tie")
        won = [name for name in marks if str(row[name]).strip().lower() in ("1", "true", "1.0")]
        if len(won) != 1:
            raise DataError(f"{place}: winner_model_a", f"expected a 1 in one of {', '.join(marks)}, got {len(won)}")
        p = {marks[0]: 1.0, marks[1]: 0.0, marks[2]: grades.of_tie}[won[0]]
    else:
        _need(row, ("winner",), place)
        tie = grades.of_tie
        words = {"model_a": 1.0, "model_b": 0.0, "tie": tie, "tie (bothbad)": tie, "both_bad": tie, "bothbad": tie}
        p = _word(row, "winner", words, place)
    names = {"system_1": row["model_a"], "system_2": row["model_b"]}
    return [(place, names | {"prompt_id": _question(row, place), "rater": _rater(row), "probability": _or_none(p)})]


def _arena_hard(row: Mapping[str, Any], place: str, grades: Grades) -> Read:
    _need(row, ("model", "games"), place)
    games = row["games"]
    if not isinstance(games, list) or len(games) != 2 or not all(isinstance(game, Mapping) for game in games):
        raise DataError(f"{place}: games", f"expected the two games of a judgment, got {str(games)[:40]}")
    # The baseline is shown first in the first game, and second in the second.
    order = [(str(row.get("baseline", "baseline")), row["model"]), (row["model"], str(row.get("baseline", "baseline")))]
    found: Read = []
    for number, (game, (first, second)) in enumerate(zip(games, order, strict=True)):
        _need(game, ("score",), f"{place}: games[{number}]")
        p = _grade(game["score"], f"{place}: games[{number}].score", grades)
        names = {"system_1": first, "system_2": second, "prompt_id": _question(row, place), "rater": _rater(row)}
        found.append((place, names | {"probability": _or_none(p)}))
    return found


def _llmfao(row: Mapping[str, Any], place: str, grades: Grades) -> Read:
    _need(row, ("left", "right", "winner"), place)
    words = {"left": 1.0, "right": 0.0, "tie": grades.of_tie}
    named = {str(row["left"]).lower(): 1.0, str(row["right"]).lower(): 0.0}
    p = _word(row, "winner", named | words, place)
    names = {"system_1": row["left"], "system_2": row["right"], "rater": str(row.get("worker") or "people")}
    return [(place, names | {"prompt_id": _question(row, place), "probability": _or_none(p)})]


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any], str, Grades], Read]]] = {
    "mt-bench": _mt_bench,
    "battles": _battle,
    "arena-hard": _arena_hard,
    "llmfao": _llmfao,
}


def _judgebench(path: Path, rows: Rows, grades: Grades) -> ToolVerdicts:
    said: list[Row] = []
    labels: list[Row] = []
    texts: list[tuple[str, str, str]] = []
    raters: dict[str, int] = {}
    ids: list[str] = []
    grades = Grades(grades.tie, slight=1.0)  # there is no stronger one here
    for number, (place, row) in enumerate(rows):
        _need(row, ("pair_id", "question", "response_A", "response_B", "label"), place)
        texts.append((_text(row, "question", place), _text(row, "response_A", place), _text(row, "response_B", place)))
        ids.append(f"{row['pair_id']} ({number})")
        labels.append(Row(number, 0, 1, _grade(row["label"], f"{place}: label", grades)))
        games = row.get("judgments")
        if games is None:
            continue
        if not isinstance(games, list) or len(games) not in (1, 2):
            raise DataError(f"{place}: judgments", f"expected one game or two, got {str(games)[:40]}")
        rater = raters.setdefault(_rater(row, "judge_name"), len(raters))
        for turn, game in enumerate(games):
            # A game without a decision is what the tool notes where its judge failed.
            decision = game.get("decision") if isinstance(game, Mapping) else None
            p = math.nan if decision is None else _grade(decision, f"{place}: judgments[{turn}].decision", grades)
            said.append(Row(number, turn, 1 - turn, p, rater))
    people = _of_pairs(path, ids, ("people",), labels, texts)
    verdicts = _of_pairs(path, ids, tuple(raters), said, texts) if said else None
    return ToolVerdicts("judgebench", verdicts, people, tuple(texts))


def _prometheus(path: Path, rows: Rows) -> ToolVerdicts:
    said: list[Row] = []
    labels: list[Row] = []
    texts: list[tuple[str, str, str]] = []
    words = {"a": 1.0, "b": 0.0}
    for number, (place, row) in enumerate(rows):
        asked = next((key for key in ("instruction", "orig_instruction") if key in row), "instruction")
        score = next((key for key in ("score", "result") if key in row), "score")
        _need(row, (asked, "response_A", "response_B", score), place)
        texts.append((_text(row, asked, place), _text(row, "response_A", place), _text(row, "response_B", place)))
        p = math.nan if row[score] is None else _word(row, score, words, place)
        said.append(Row(number, 0, 1, p))
        preferred = next((key for key in ("preference", "orig_preference") if key in row), None)
        if preferred is not None:
            labels.append(Row(number, 0, 1, _word(row, preferred, words, place)))
    ids = [str(number) for number in range(len(texts))]
    people = _of_pairs(path, ids, ("people",), labels, texts) if labels else None
    return ToolVerdicts("prometheus", _of_pairs(path, ids, ("prometheus",), said, texts), people, tuple(texts))


def _of_pairs(
    path: Path, ids: Sequence[str], raters: tuple[str, ...], rows: Sequence[Row], texts: Sequence[tuple[str, str, str]]
) -> Verdicts:
    lengths = np.array([[len(first), len(second)] for _, first, second in texts], dtype=np.float64)
    return Verdicts(str(path), tuple(ids), (), (0, 0), raters, tuple(rows), lengths)


def _need(row: Mapping[str, Any], columns: Sequence[str], place: str) -> None:
    for column in columns:
        if column not in row:
            raise DataError(f"{place}: {column}", f"this column is missing.{near_match(column, map(str, row))}")


def _word(row: Mapping[str, Any], key: str, words: Mapping[str, float], place: str) -> float:
    value = row[key]
    word = value.strip().lower() if isinstance(value, str) else value
    if word not in words:
        raise DataError(f"{place}: {key}", f"expected one of {', '.join(words)}, got {value!r}")
    return words[word]


def _grade(value: Any, place: str, grades: Grades) -> float:
    """Pr(A ≻ B) of one of five grades; NaN of none, which the tool writes where it found no verdict."""
    if value is None or value == "":
        return math.nan
    slight = grades.slight
    known = {
        "A>>B": 1.0, "A>B": slight, "A=B": grades.of_tie, "B=A": grades.of_tie, "B>A": 1 - slight, "B>>A": 0.0,
        "A<B": 1 - slight, "A<<B": 0.0, "B<A": slight, "B<<A": 1.0,
    }  # fmt: skip
    if value not in known:
        raise DataError(place, f"expected a grade from A>>B to B>>A, got {value!r}")
    return known[value]


def _question(row: Mapping[str, Any], place: str) -> str:
    """The prompt's id; a row that names none is about a prompt of its own."""
    name = next(
        (str(row[key]) for key in ("question_id", "uid", "id", "prompt") if row.get(key) not in (None, "")), None
    )
    asked = place if name is None else name
    return f"{asked} (turn {row['turn']})" if row.get("turn") is not None else asked


def _rater(row: Mapping[str, Any], key: str = "judge") -> str:
    value = row.get(key)
    if isinstance(value, (list, tuple)):  # FastChat: the model and its prompt
        return " ".join(map(str, value))
    return "judge" if value in (None, "") else str(value)


def _or_none(p: float) -> float | None:
    return None if math.isnan(p) else p


def _text(row: Mapping[str, Any], key: str, place: str) -> str:
    value = row[key]
    if not isinstance(value, str):
        raise DataError(f"{place}: {key}", f"expected a text, got {str(value)[:60]!r}")
    return value
