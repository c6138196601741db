"""What an audit can read, told from the content: answers to be judged, ready verdicts, win rates and counts.

outputs     JSON list with `instruction`, `output`, `generator`: AlpacaEval's model_outputs.json, one file a system
annotations JSON list with `instruction`, `generator_1`, `generator_2`, `preference`: AlpacaEval's annotations.json
pairs       JSON list with `input`, `output_1`, `output_2`, `label`: LLMBar; label 1 or 2 is people's
people      JSON list with `cmp_key`, `response1`, `annotator1`, ...: PandaLM's test set, 1, 2 or 0 (tie)
model       JSON list with `idx` and `..._result`: a model's verdicts on that test set, which lies beside it
verdicts    JSONL, an object a line; see `comal.evaluation.audit.formats.generic`
table       CSV or NPY; JSON with `P`, `wins` or rows of numbers: see `comal.games.io`; an empty cell of a CSV is a pair
            without a verdict
tools       what other judges' tools write: see `comal.evaluation.audit.formats.tools`
evaluation  the folder of a `comal eval`, whose annotations.json is read

All but tables may be compressed (.gz).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from comal.errors import DataError, near_match
from comal.evaluation.audit.asking import AnswerSets
from comal.evaluation.audit.formats.generic import objects, read_annotations, read_verdicts
from comal.evaluation.audit.formats.tools import Grades, ToolVerdicts, read_tool, tool_of
from comal.evaluation.audit.pairwise import Pairwise
from comal.evaluation.audit.verdicts import Row, Verdicts
from comal.evaluation.crossplay.alpaca_eval import KEYS, parse_outputs
from comal.games.game import PreferenceGame
from comal.games.io import read_table
from comal.reading.csv_text import csv_rows, named_cells
from comal.reading.json_text import parse_json, parse_json_lines
from comal.reading.questions import require_whole, with_input
from comal.reading.text import read_text

_KEYS = (*KEYS, "input", "output_1", "output_2", "label", "cmp_key", "idx", "response1")


@dataclass(frozen=True, slots=True)
class Source:
    """What one or more files hold.

    Attributes:
        verdicts: ready ones, or None.
        answers: to be judged, or None.
        people: human verdicts on the answers, or None.
        table: win rates between systems, or None.
        tool: whose format it is, where another tool of judges wrote it.
    """

    verdicts: Verdicts | None = None
    answers: AnswerSets | None = None
    people: Verdicts | None = None
    table: Pairwise | None = None
    tool: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """How numbers are read from a table, and from words.

    Attributes:
        counts: comparisons behind every cell of a table of win rates.
        wins: it holds counts of wins.
        seed: of the bootstrap of counts.
        grades: what the words of other tools are worth.
    """

    counts: int | None = None
    wins: bool = False
    seed: int = 0
    grades: Grades = Grades()  # noqa: RUF009  frozen


PLAIN = Table()


def read_sources(paths: Sequence[Path], table: Table = PLAIN) -> Source:
    """The content of files; several are the outputs of one system each.

    Args:
        paths: the files.
        table: how a table is read.

    Raises:
        DataError: a missing or broken file, unknown content, files that do not belong together.
    """
    read = [read_source(path, table) for path in paths]
    if len(read) == 1:
        source = read[0]
        if source.answers is not None and len(source.answers.systems) == 1:
            raise DataError(str(paths[0]), "holds the outputs of one system; give one file for each of two or more")
        return source
    sets = []
    for path, source in zip(paths, read, strict=True):
        if source.answers is None or not source.answers.systems:
            raise DataError(
                str(path),
                "several files are audited together only where each holds a system's outputs; audit this one alone",
            )
        sets.append(source.answers)
    return Source(answers=_joined(sets))


def read_source(path: Path, table: Table = PLAIN) -> Source:
    """The content of one file.

    Raises:
        DataError: a missing or broken file, or unknown content.
    """
    if not path.exists():
        near = near_match(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
        raise DataError(str(path), f"no such file.{near.partition(' Known:')[0]}")
    if path.is_dir():
        raise DataError(str(path), "this folder holds no run; name a file in it")
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".csv"):
        cells = csv_rows(read_text(path), str(path))
        if cells and (tool := tool_of([column.strip() for column in cells[0][1]])):
            return _of_tool(read_tool(tool, path, named_cells(cells, str(path)), table.grades), path)
    if name.endswith((".csv", ".npy")):
        return _table(path, None, table)
    if name.endswith(".jsonl"):
        lines = parse_json_lines(read_text(path), str(path))
        if lines and isinstance(lines[0][1], Mapping) and (tool := tool_of(list(lines[0][1]))):
            return _of_tool(read_tool(tool, path, objects(lines), table.grades), path)
        return Source(verdicts=read_verdicts(path, objects(lines)))
    if not name.endswith(".json"):
        raise DataError(str(path), "an audit reads .json, .jsonl (both also .gz), .csv and .npy files, and run folders")
    content = parse_json(read_text(path), str(path))
    if isinstance(content, Mapping) or (isinstance(content, list) and content and isinstance(content[0], list)):
        return _table(path, content, table)
    if not (isinstance(content, list) and content and all(isinstance(row, Mapping) for row in content)):
        raise DataError(str(path), "expected a list of objects, or a table")
    keys = set(content[0])
    if set(KEYS) <= keys:
        return Source(answers=_outputs(path, content))
    if {"instruction", "generator_1", "generator_2", "preference"} <= keys:
        return Source(verdicts=read_annotations(path, content))
    if {"input", "output_1", "output_2", "label"} <= keys:
        return _labelled_pairs(path, content)
    if tool := tool_of(sorted(keys)):
        rows = [(f"{path}[{number}]", row) for number, row in enumerate(content)]
        return _of_tool(read_tool(tool, path, rows, table.grades), path)
    if {"cmp_key", "response1", "annotator1"} <= keys:
        return Source(verdicts=_pandalm_people(path, content))
    if "idx" in keys and any(key.endswith("_result") for key in keys):
        return _pandalm_model(path, content)
    unknown = sorted(keys)
    raise DataError(
        f"{path}[0]",
        f"keys {', '.join(unknown) or 'none'} are of no known format.{near_match(''.join(unknown[:1]), _KEYS)}",
    )


def _of_tool(found: ToolVerdicts, path: Path) -> Source:
    if found.verdicts is not None or found.texts is None:
        return Source(verdicts=found.verdicts, people=found.people, tool=found.tool)
    assert found.people is not None
    prompts, texts = tuple(t[0] for t in found.texts), tuple(t[1:] for t in found.texts)
    answers = AnswerSets(str(path), found.people.prompts, prompts, (), (0, 0), texts)
    return Source(answers=answers, people=found.people, tool=found.tool)


def _table(path: Path, content: Any, told: Table) -> Source:
    counts, wins = told.counts, told.wins
    if isinstance(content, Mapping) and "wins" in content:
        wins = True
    if wins and counts is not None:
        raise DataError("--counts", f"{path} holds counts already")
    read = read_table(path, wins=wins, gaps=True)
    if read.numbers.ndim == 3:
        raise DataError(str(path), f"holds {len(read.numbers)} tables; an audit takes one")
    if len(read.numbers) < 2:
        raise DataError(str(path), "holds one system; an audit compares two or more")
    # Pairs without a verdict are even for these checks of shape, labels and rates, and only for them.
    gaps = np.isnan(read.numbers)
    if read.counts:
        n = len(read.numbers)
        labels = PreferenceGame(np.full((n, n), 0.5), read.labels, name=str(path)).labels
        table = Pairwise.of_counts(np.where(gaps | np.eye(n, dtype=bool), 0.0, read.numbers), labels, told.seed)
        if not len(table.rate):
            raise DataError(str(path), "no two systems were ever compared")
        return Source(table=table)
    game = PreferenceGame(np.where(gaps, 0.5, read.numbers), read.labels, name=str(path))
    if counts is None:
        table = Pairwise.of_rates(np.where(gaps, np.nan, game.P), game.labels)
    else:
        # What was printed is not a multiple of 1/counts: the nearest half win is meant.
        table = Pairwise.of_counts(np.where(gaps, 0.0, np.round(2 * game.P * counts) / 2), game.labels, told.seed)
    if not len(table.rate):
        raise DataError(str(path), "no two systems were ever compared")
    return Source(table=table)


def _outputs(path: Path, rows: Sequence[Mapping[str, Any]]) -> AnswerSets:
    places = [f"{path}[{number}]" for number in range(len(rows))]
    systems = parse_outputs(list(zip(places, rows, strict=True)), default_name=None, allow_empty=True)
    for system in systems:
        for prompt, answers in system.answers.items():
            if len(answers) > 1:
                raise DataError(str(path), f"{system.generator} answers {prompt[:40]!r} twice")
    return _answer_sets(str(path), {s.generator: {p: a[0] for p, a in s.answers.items()} for s in systems})


def _answer_sets(name: str, found: Mapping[str, Mapping[str, str]]) -> AnswerSets:
    systems = tuple(found)
    prompts = tuple(dict.fromkeys(prompt for answers in found.values() for prompt in answers))
    if len(systems) > 1:
        shared = tuple(p for p in prompts if sum(p in found[system] for system in systems) > 1)
        if not shared:
            raise DataError(name, f"{', '.join(systems)} have no prompt in common; nothing can be compared")
        prompts = shared
    texts = tuple(tuple(found[system].get(prompt) for system in systems) for prompt in prompts)
    return AnswerSets(name, prompts, prompts, systems, tuple(range(len(systems))), texts)


def _joined(sets: Sequence[AnswerSets]) -> AnswerSets:
    found: dict[str, dict[str, str]] = {}
    for one in sets:
        for system, column in zip(one.systems, zip(*one.texts, strict=True), strict=True):
            if system in found:
                raise DataError(one.name, f"the system {system} is in another file already")
            found[system] = {p: text for p, text in zip(one.prompts, column, strict=True) if text is not None}
    return _answer_sets(", ".join(Path(one.name).name for one in sets), found)


def _labelled_pairs(path: Path, rows: Sequence[Mapping[str, Any]]) -> Source:
    prompts, texts, verdicts = [], [], []
    for number, row in enumerate(rows):
        place = f"{path}[{number}]"
        prompt = _string(row, "input", place)
        if row.get("instruction") is not None:
            _string(row, "instruction", place)
            require_whole(row, "instruction", place)
            prompt = with_input(row, "instruction", place)
        if isinstance(row.get("label"), bool) or row.get("label") not in (1, 2):
            raise DataError(f"{place}.label", f"expected 1 or 2, got {row.get('label')!r}")
        prompts.append(prompt)
        texts.append((_string(row, "output_1", place), _string(row, "output_2", place)))
        verdicts.append(Row(number, 0, 1, float(row["label"] == 1)))
    # One instruction may come twice, with other answers: that is another question.
    ids = tuple(str(number) for number in range(len(prompts)))
    answers = AnswerSets(str(path), ids, tuple(prompts), (), (0, 0), tuple(texts))
    people = Verdicts(str(path), ids, (), (0, 0), ("people",), tuple(verdicts), answers.lengths)
    return Source(answers=answers, people=people)


def _pandalm_people(path: Path, rows: Sequence[Mapping[str, Any]]) -> Verdicts:
    annotators = tuple(key for key in rows[0] if key.startswith("annotator"))
    labels = [[_label(row.get(a), f"{path}[{n}].{a}") for a in annotators] for n, row in enumerate(rows)]
    return _pandalm(path, rows, annotators, labels)


def _pandalm_model(path: Path, rows: Sequence[Mapping[str, Any]]) -> Source:
    beside = path.parent / "testset-v1.json"
    if not beside.is_file():
        raise DataError(str(path), "a model's verdicts on PandaLM's test set need testset-v1.json beside them")
    content = parse_json(read_text(beside), str(beside))
    if not (isinstance(content, list) and all(isinstance(row, Mapping) for row in content)):
        raise DataError(str(beside), "expected a list of objects")
    tests = {str(row.get("idx")): row for row in content}
    key = next(key for key in rows[0] if key.endswith("_result"))
    missing = next((n for n, row in enumerate(rows) if str(row.get("idx")) not in tests), None)
    if missing is not None:
        raise DataError(f"{path}[{missing}].idx", f"{rows[missing].get('idx')!r} is not in {beside.name}")
    joined = [tests[str(row["idx"])] for row in rows]
    # What a model said that is no verdict is no verdict, and counted.
    labels = [[_label_or_none(row.get(key))] for row in rows]
    verdicts = _pandalm(path, joined, (key.removesuffix("_result"),), labels)
    return Source(verdicts=verdicts, people=_pandalm_people(beside, joined))


def _pandalm(
    path: Path, rows: Sequence[Mapping[str, Any]], raters: tuple[str, ...], labels: Sequence[Sequence[float]]
) -> Verdicts:
    prompts: dict[str, int] = {}
    for number, row in enumerate(rows):
        lacking = next((k for k in ("cmp_key", "instruction", "input", "response1", "response2") if k not in row), None)
        if lacking is not None:
            raise DataError(f"{path}[{number}].{lacking}", "this key is needed")
    systems = tuple(sorted({name for row in rows for name in str(row["cmp_key"]).split("_")}))
    found: list[Row] = []
    lengths: dict[tuple[int, int], int] = {}
    for number, (row, given) in enumerate(zip(rows, labels, strict=True)):
        pair = str(row["cmp_key"]).split("_")
        if len(pair) != 2:
            raise DataError(f"{path}[{number}].cmp_key", f"expected two systems joined by _, got {row['cmp_key']!r}")
        x = prompts.setdefault(f"{row['instruction']}\n\n{row['input']}", len(prompts))
        first, second = (systems.index(name) for name in pair)
        found += [Row(x, first, second, p, rater) for rater, p in enumerate(given)]
        for side in ("response1", "response2"):
            if row[side] is None or isinstance(row[side], (list, Mapping)):
                raise DataError(f"{path}[{number}].{side}", f"expected a text, got {str(row[side])[:60]!r}")
        # A few responses are bare `true` or numbers in the file.
        lengths |= {(x, first): len(str(row["response1"])), (x, second): len(str(row["response2"]))}
    table = np.full((len(prompts), len(systems)), np.nan)
    for where, length in lengths.items():
        table[where] = length
    owner = tuple(range(len(systems)))
    return Verdicts(str(path), tuple(prompts), systems, owner, raters, tuple(found), table)


def _label(value: object, place: str) -> float:
    p = _label_or_none(value)
    if np.isnan(p):
        raise DataError(place, f"expected 1, 2 or 0 (tie), got {value!r}")
    return p


def _label_or_none(value: object) -> float:
    return {"1": 1.0, "2": 0.0, "0": 0.5, "tie": 0.5}.get(str(value).lower(), float("nan"))


def _string(row: Mapping[str, Any], key: str, place: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        raise DataError(f"{place}.{key}", f"expected a text, got {value!r}")
    return value
