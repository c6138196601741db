"""Populations from files: JSON (rankings or utilities, a user each) or CSV (utilities, a row a user)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from comal.errors import DataError, near_match
from comal.games.game import Floats
from comal.games.populations.named import NAMED_POPULATIONS, named_population
from comal.games.populations.population import PopulationGame, utilities_of_ranking
from comal.reading.csv_text import csv_rows
from comal.reading.json_text import parse_json
from comal.reading.text import decoded, read_bytes

_SUFFIXES = (".csv", ".json")
_KEYS = ("ranking", "utilities", "weight", "temperature", "name")
_COLUMNS = ("weight", "temperature")


def load_population(source: str) -> PopulationGame:
    """A file's population, or a named one (see `named_population`), shown one answer.

    Raises:
        ConfigError: neither a file nor a named population.
        DataError: a file that cannot be read as a population.
        GameError: numbers that make no population.
    """
    is_file = Path(source).exists() or Path(source).suffix.lower() in _SUFFIXES or "/" in source
    if source.partition(":")[0] in NAMED_POPULATIONS or not is_file:  # a file of that name is ./majority
        return named_population(source)
    return read_population(Path(source))


def read_population(path: Path) -> PopulationGame:
    """The population in a JSON or CSV file, shown one answer.

    JSON: `{"answers": ["a", "b", "c"], "users": [{"ranking": ["b", ["a", "c"]], "weight": 2}, ...]}`. Each user has a
    `ranking`, best first and equals in a list of their own, or `utilities` in the order of the answers; perhaps a
    `weight` (1), a `temperature` (0: takes the best; above: Plackett and Luce's choice) and a `name`, which is for
    people.

    CSV: a row a user; the first column names the user, columns called `weight` and `temperature` are that, every other
    column holds an answer's utilities.

    Raises:
        DataError: a file that cannot be read as a population.
        GameError: numbers that make no population.
    """
    suffix, place = path.suffix.lower(), str(path)
    if suffix not in _SUFFIXES:
        raise DataError(place, "a population is a .csv or .json file")
    text = decoded(read_bytes(path), place)
    return _read_csv(text, place) if suffix == ".csv" else _read_json(text, place)


def _read_json(text: str, place: str) -> PopulationGame:
    content = parse_json(text, place)
    if not isinstance(content, dict) or set(content) != {"answers", "users"}:
        raise DataError(place, 'a population is an object with "answers" and "users", and nothing else')
    labels, users = content["answers"], content["users"]
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise DataError(place, f'"answers" is a list of names, got {str(labels)[:60]}')
    if not isinstance(users, list) or not users:
        raise DataError(place, f'"users" is a list of objects, got {str(users)[:60]}')
    rows = [_user(user, labels, f"{place}: user {i + 1}") for i, user in enumerate(users)]
    utilities, weights, temperatures = zip(*rows, strict=True)
    return PopulationGame(
        np.array(utilities), np.array(weights), np.array(temperatures), labels=tuple(labels), name=place
    )


def _user(user: Any, labels: list[str], place: str) -> tuple[list[float], float, float]:
    if not isinstance(user, dict):
        raise DataError(place, f"is an object with a ranking or utilities, got {str(user)[:60]}")
    for key in user:
        if key not in _KEYS:
            raise DataError(place, f"no such key `{key}`.{near_match(key, _KEYS)}")
    if ("ranking" in user) == ("utilities" in user):
        raise DataError(place, 'give either "ranking" or "utilities"')
    numbers = [_number(user.get(key, default), key, place) for key, default in (("weight", 1), ("temperature", 0))]
    if "ranking" in user:
        ranking = user["ranking"]
        if not isinstance(ranking, list) or not all(_is_rank(rank) for rank in ranking):
            raise DataError(place, '"ranking" is a list of answers, best first, equals in a list of their own')
        if numbers[1] > 0:
            raise DataError(place, "a temperature has no meaning for a ranking, whose distances are unknown")
        return utilities_of_ranking(ranking, labels, place), numbers[0], 0.0
    given = user["utilities"]
    if not isinstance(given, list) or len(given) != len(labels):
        raise DataError(place, f'"utilities" is a list of {len(labels)} numbers, in the order of the answers')
    return [_number(value, "utilities", place) for value in given], numbers[0], numbers[1]


def _is_rank(rank: Any) -> bool:
    return isinstance(rank, str) or (isinstance(rank, list) and all(isinstance(answer, str) for answer in rank))


def _number(value: Any, key: str, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(place, f'"{key}" holds numbers, got {str(value)[:60]}')
    try:
        return float(value)
    except OverflowError:
        raise DataError(place, f'"{key}" holds {str(value)[:20]}..., which is too large') from None


def _read_csv(text: str, place: str) -> PopulationGame:
    rows = csv_rows(text, place)
    if len(rows) < 2:
        raise DataError(place, "expected a row of column names and then one row for each user")
    names = [cell.strip() for cell in rows[0][1]]
    if "" in names[1:]:
        raise DataError(f"{place}:{rows[0][0]}", f"column {names[1:].index('') + 2} has no name")
    columns: list[list[float]] = []
    for number, cells in rows[1:]:
        where = f"{place}:{number}"
        if len(cells) != len(names):
            raise DataError(where, f"{len(cells)} cells under {len(names)} columns")
        try:
            columns.append([float(cell) for cell in cells[1:]])
        except ValueError as error:
            raise DataError(where, f"{error}; every cell but the user's name is a number") from error
    table: Floats = np.array(columns)
    answers = [i for i, name in enumerate(names[1:]) if name not in _COLUMNS]
    if not answers:
        raise DataError(place, "no column of an answer's utilities")
    weight, temperature = (table[:, names.index(name) - 1] if name in names[1:] else None for name in _COLUMNS)
    labels = tuple(names[1 + i] for i in answers)
    return PopulationGame(table[:, answers], weight, temperature, labels=labels, name=place)
