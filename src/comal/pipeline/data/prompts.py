"""Prompts and supervised pairs: from files, hub data sets and the embedded task."""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast, get_args
from urllib.parse import parse_qsl

from comal.errors import DataError, first_line, near_match
from comal.policies.base import Prompt, derive_seed
from comal.reading.csv_text import csv_table
from comal.reading.json_text import parse_json, parse_json_lines
from comal.reading.paths import user_path
from comal.reading.questions import message_text, require_whole, with_input
from comal.reading.text import decoded, read_bytes, read_text
from comal.recipes.settings import DataSource, PromptSettings

T = TypeVar("T")

_SHOWN = 200
SUFFIXES = (".jsonl", ".json", ".csv", ".parquet", ".jsonl.gz", ".json.gz")


@dataclass(frozen=True, slots=True)
class Pair:
    """A prompt and the answer to imitate."""

    prompt: Prompt
    answer: str


@dataclass(frozen=True, slots=True)
class PromptSplits:
    """Disjoint prompts of the three uses."""

    train: tuple[Prompt, ...]
    validation: tuple[Prompt, ...]
    test: tuple[Prompt, ...]


def load_prompts(source: DataSource, place: str, seed: int) -> list[Prompt]:
    """The distinct prompts of a source, shuffled: sorted files would make biased slices.

    Raises:
        DataError: a missing file, a broken line (named), a missing or empty column.
    """
    found: dict[str, Prompt] = {}
    for where, row in _rows(source, place):
        prompt = _prompt(row, source, where)
        found.setdefault(prompt.id, prompt)
    return _shuffled(list(found.values()), seed, source.limit)


def load_pairs(source: DataSource, place: str, seed: int) -> list[Pair]:
    """The supervised pairs of a source, shuffled.

    Raises:
        DataError: as `load_prompts`, and an answer that is no text.
    """
    pairs = []
    for where, row in _rows(source, place):
        answer = _column(row, source.answer, "answer", where)
        if not isinstance(answer, str) or not answer.strip():
            raise DataError(where, f"`{source.answer}` should be a text, got {_short(answer)}")
        pairs.append(Pair(_prompt(row, source, where), answer))
    return _shuffled(pairs, seed, source.limit)


def split_prompts(settings: PromptSettings, seed: int) -> PromptSplits:
    """Train, validation and test prompts; held-out prompts never appear in a split before them.

    Raises:
        DataError: nothing is left to train on.
    """
    train = load_prompts(settings.train, "prompts.train", seed)
    test = _of(settings.test, "prompts.test", seed)
    validation = _of(settings.validation, "prompts.validation", seed)
    if test is None:
        test, train = train[: settings.held_out], train[settings.held_out :]
    if validation is None:
        validation, train = train[: settings.held_out], train[settings.held_out :]
    tested = {p.id for p in test}
    validation = [p for p in validation if p.id not in tested]
    held_out = tested | {p.id for p in validation}
    train = [p for p in train if p.id not in held_out]
    for name, prompts in (("train", train), ("validation", validation), ("test", test)):
        needed = 1 if name == "train" else 2  # an interval needs two
        if len(prompts) < needed:
            left = "no prompts are left" if not prompts else "one prompt is left, two are needed,"
            raise DataError(
                f"prompts.{name}",
                f"{left} for {name}; give more prompts or lower prompts.held_out ({settings.held_out})",
            )
    return PromptSplits(tuple(train), tuple(validation), tuple(test))


def on_hub(source: DataSource) -> bool:
    """Whether a hub would be asked for the rows: the source is neither a path nor an embedded task."""
    name = source.source
    local = name.startswith(("task:", ".", "/", "~")) or name.lower().endswith(SUFFIXES)
    return not (local or user_path(name).exists())


def prompts_of_step(prompts: Sequence[Prompt], step: int, count: int, seed: int) -> list[Prompt]:
    """The `count` prompts of proximal step `step`: fresh ones until all were used, then a new shuffle.

    The same for every method of a run, so that methods are compared on equal prompts.
    """
    chosen: list[Prompt] = []
    orders: dict[int, list[int]] = {}
    for position in range(step * count, (step + 1) * count):
        epoch, offset = divmod(position, len(prompts))
        if epoch not in orders:
            orders[epoch] = list(range(len(prompts)))
            random.Random(derive_seed(seed, "epoch", epoch)).shuffle(orders[epoch])
        chosen.append(prompts[orders[epoch][offset]])
    return chosen


def _of(source: DataSource | None, place: str, seed: int) -> list[Prompt] | None:
    return None if source is None else load_prompts(source, place, seed)


def _shuffled(items: list[T], seed: int, limit: int | None) -> list[T]:
    random.Random(derive_seed(seed, "data")).shuffle(items)
    return items if limit is None else items[:limit]


def _column(row: Any, name: str, option: str, where: str) -> Any:
    if not isinstance(row, dict):
        raise DataError(where, f"expected an object with `{name}`, got {_short(row)}")
    if name not in row:
        raise DataError(where, f"there is no column `{name}`; set `{option}`.{near_match(name, map(str, row))}")
    return row[name]


def _prompt(row: Any, source: DataSource, where: str) -> Prompt:
    value = _column(row, source.prompt, "prompt", where)
    require_whole(row, source.prompt, where)
    if isinstance(value, str) and value.strip():
        _refuse_written_messages(value, source.prompt, where)
        return Prompt.of_text(with_input(row, source.prompt, where))
    if isinstance(value, (list, tuple)) and value and all(_has_role(m) for m in value):
        if with_input(row, source.prompt, where):
            raise DataError(where, "`input` stands beside chat messages, which it cannot be put into; put it there")
        if value[-1]["role"] != "user":
            raise DataError(where, f"the last message should be the user's, got role {value[-1]['role']!r}")
        messages = [
            {"role": m["role"], "content": message_text(m, f"{where}: {source.prompt}[{n}]")}
            for n, m in enumerate(value)
        ]
        if not messages[-1]["content"].strip():
            raise DataError(where, "the last message, which is to be answered, is empty")
        return Prompt(tuple(messages))
    raise DataError(where, f"`{source.prompt}` should be a text or a list of chat messages, got {_short(value)}")


def _has_role(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str)


def _refuse_written_messages(text: str, column: str, where: str) -> None:
    """Chat messages as one text would be answered as JSON."""
    if not text.lstrip().startswith("["):
        return
    try:
        value = parse_json(text, where)
    except DataError:
        return
    if isinstance(value, list) and value and all(_has_role(m) for m in value):
        raise DataError(where, f"`{column}` holds chat messages written as a text; give them as a list of objects")


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def read_rows(path: Path) -> list[tuple[str, Any]]:
    """The rows of a JSON or JSON-lines file, each with the place to name when something is wrong with it.

    Raises:
        DataError: the file cannot be read.
    """
    return _rows(DataSource(source=str(path)), str(path))


def _rows(source: DataSource, place: str) -> list[tuple[str, Any]]:
    """Rows, each with the place to name when something is wrong with it."""
    name = source.source
    path = user_path(name)
    if name.lower().endswith((".jsonl", ".jsonl.gz")) and path.is_file():
        # Not `datasets`: it infers one schema, so that it cannot name the broken line, and a stray key breaks the rest.
        return parse_json_lines(read_text(path), str(path))
    if name.lower().endswith(".csv") and path.is_file():
        return list(csv_table(read_text(path), str(path)))
    return [(f"{name}, row {number}", row) for number, row in enumerate(_whole_rows(source, place), start=1)]


def _whole_rows(source: DataSource, place: str) -> list[Any]:
    name = source.source
    if name.startswith("task:"):
        return _task_rows(name.removeprefix("task:"), source.split, place)
    path = user_path(name)
    if name.lower().endswith(SUFFIXES):
        if not path.is_file():
            near = near_match(path.name, [p.name for p in path.parent.glob("*")]) if path.parent.is_dir() else ""
            raise DataError(place, f"there is no file `{name}`.{near}")
        return _data_file(path)
    if not on_hub(source):
        raise DataError(place, f"`{name}` is not a data file; known endings: {', '.join(SUFFIXES)}")
    return _hub_rows(source, place)


def _data_file(path: Path) -> list[Any]:
    data = read_bytes(path)
    if path.name.lower().endswith((".json", ".json.gz")):
        try:
            rows = parse_json(decoded(data, str(path)), str(path))
        except DataError as error:
            hint = "; one object a line should be named .jsonl" if "Extra data" in error.problem else ""
            raise DataError(error.place, f"{error.problem}{hint}") from error
        if not isinstance(rows, list):
            raise DataError(str(path), "expected a list of objects")
        return rows
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Not `datasets`: it may turn lists of objects into objects of lists.
        rows = pq.read_table(pa.BufferReader(data)).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(str(path), f"cannot read it as parquet: {first_line(error)}") from error
    return list(rows)


def _hub_rows(source: DataSource, place: str) -> list[Any]:
    import datasets

    try:
        return list(datasets.load_dataset(source.source, source.subset, split=source.split))
    except Exception as error:
        raise DataError(
            place, f"cannot load the data set `{source.source}` (split `{source.split}`): {first_line(error)}"
        ) from error


_TASKS: Final = ("docstrings", "docstrings-in-moods", "everyday")


def _task_rows(task: str, split: str, place: str) -> list[Any]:
    task, _, options = task.partition("?")
    if task not in _TASKS:
        raise DataError(place, f"`{task}` is not an embedded task.{near_match(task, _TASKS)}")
    if task == "everyday":
        return _everyday_rows(split, options, place)
    from comal.tasks.docstrings import Split, of_split

    if split not in get_args(Split):
        raise DataError(place, f"`{split}` is not a split of the task.{near_match(split, get_args(Split))}")
    examples = _harvested(task, _answer_words(options, place))
    return [{"prompt": e.prompt, "answer": e.answer} for e in of_split(examples, cast("Split", split))]


def _everyday_rows(split: str, options: str, place: str) -> list[Any]:
    from comal.tasks.everyday import TASKS, Split, instructions, supervised

    [named] = _task_options(options, {"tasks": ",".join(TASKS)}, place)
    tasks = [task.strip() for task in named.split(",")]
    for task in tasks:
        if task not in TASKS:
            raise DataError(place, f"tasks: `{task}` is none of {', '.join(TASKS)}.{near_match(task, TASKS)}")
    if split not in get_args(Split):
        raise DataError(place, f"`{split}` is not a split of the task.{near_match(split, get_args(Split))}")
    if split == "supervised":
        without = [task for task in tasks if not supervised([task])] if options else []
        if without:
            have = [task for task in TASKS if supervised([task])]
            raise DataError(place, f"tasks: no answers to imitate for `{without[0]}`; there are for {', '.join(have)}")
        return [{"prompt": prompt, "answer": answer} for prompt, answer in supervised(tasks)]
    return [{"prompt": i.prompt} for i in instructions(tasks) if i.split == split]


def _task_options(options: str, known: Mapping[str, str], place: str) -> list[str]:
    """Values of the options after a task's name, as in a URL: `task:docstrings?words=16`; in the order of `known`."""
    given = dict(parse_qsl(options, keep_blank_values=True))
    for name in given:
        if name not in known:
            raise DataError(place, f"the task has no option `{name}`.{near_match(name, known)}")
    return list({**known, **given}.values())


def _answer_words(options: str, place: str) -> int:
    from comal.tasks.docstrings import ANSWER_WORDS

    [words] = _task_options(options, {"words": str(ANSWER_WORDS)}, place)
    if not words.isdecimal() or int(words) < 1:
        raise DataError(place, f"words: need the longest answer's number of words, 1 or more, got `{words}`")
    return int(words)


@functools.cache
def _harvested(task: str, answer_words: int) -> tuple[Any, ...]:
    """An embedded task's examples: seconds of parsing, asked for once a split."""
    from comal.tasks.docstrings import harvest
    from comal.tasks.moods import harvest_in_moods

    return tuple(harvest(answer_words=answer_words) if task == "docstrings" else harvest_in_moods(answer_words))
