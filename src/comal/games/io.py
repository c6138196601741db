"""Games from files: CSV (labels in the first row and column), JSON, NPY."""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from comal.errors import ConfigError, DataError, GameError
from comal.games.game import Floats, PreferenceGame, as_table
from comal.games.named import NAMED, named_game
from comal.reading.csv_text import csv_rows
from comal.reading.json_text import parse_json
from comal.reading.text import decoded, read_bytes

_SUFFIXES = (".csv", ".json", ".npy")
_SHOWN = 40
_ENOUGH_DECIMALS = 6  # with fewer, a slip of the pen could pass for rounding


@dataclass(frozen=True, slots=True, eq=False)
class FileTable:
    """What a file holds before it is a game.

    Attributes:
        numbers: shape (n, n), or (B, n, n) for a batch; NaN where a cell is empty.
        labels: names of the answers; empty where the file has none.
        counts: whether the numbers are wins.
    """

    numbers: Floats
    labels: tuple[str, ...]
    counts: bool


def load_game(source: str, symmetrise: bool = False, wins: bool = False, prior: float = 0.0) -> PreferenceGame:
    """A file's game, or a named one (see `named_game`); the options are those of `read_game`.

    Raises:
        ConfigError: neither a file nor a named game, or an option that does nothing to a named one.
        DataError: a file that cannot be read as a table.
        GameError: a table that is not a preference game.
    """
    is_file = Path(source).exists() or Path(source).suffix.lower() in _SUFFIXES or "/" in source
    if source.partition(":")[0] in NAMED or not is_file:  # a file of that name is ./paper
        for option, given in (("--symmetrise", symmetrise), ("--wins", wins), ("--prior", prior)):
            if given:
                raise ConfigError(option, f"does nothing to a named game ({source}); leave it out")
        return named_game(source)
    return read_game(Path(source), symmetrise, wins, prior)


def read_game(path: Path, symmetrise: bool = False, wins: bool = False, prior: float = 0.0) -> PreferenceGame:
    """The game in a CSV, JSON or NPY file.

    CSV: the first row and the first column hold the same labels in the same order; a table printed to at least 6
    decimals may miss P + Pᵀ = 1 by one unit of the last, which is rounding and averaged out. JSON: the rows alone, or
    `{"labels": [...], "P": [[...]]}`, or `{"labels": [...], "wins": [[...]]}` with counts. NPY: an array (n, n), or (B,
    n, n) for a batch.

    Args:
        path: the file.
        symmetrise: average both readings of every pair.
        wins: the table holds counts, wins[i, j] of i against j; a JSON file may say so itself.
        prior: wins that each of a pair has before any are counted, so that pairs that never met are even.

    Raises:
        ConfigError: options that do nothing to this table.
        DataError: a file that cannot be read as a table.
        GameError: a table that is not a preference game.
        ConfigError: `symmetrise` for a file of counts.
    """
    table = read_table(path, wins)
    if table.counts:
        if symmetrise:
            raise ConfigError("--symmetrise", f"{path} holds counts, which are no two readings; leave it out")
        return PreferenceGame.from_counts(table.numbers, table.labels, name=str(path), prior=prior)
    if prior:
        raise ConfigError("--prior", f"is for counts; {path} is read as win rates, give --wins if it holds counts")
    if symmetrise:
        return PreferenceGame.symmetrised(table.numbers, table.labels, name=str(path))
    return PreferenceGame(table.numbers, table.labels, name=str(path))


def read_table(path: Path, wins: bool = False, gaps: bool = False) -> FileTable:
    """The numbers in a CSV, JSON or NPY file, as `read_game` says.

    Args:
        path: the file.
        wins: they are counts.
        gaps: take an empty cell of a CSV for a pair without a number.

    Raises:
        DataError: a file that cannot be read as a table.
        GameError: no square table.
    """
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise DataError(str(path), f"a game is a {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]} file")
    data, place = read_bytes(path), str(path)
    if suffix == ".csv":
        return _read_csv(decoded(data, place), place, wins, gaps)
    if suffix == ".json":
        return _read_json(decoded(data, place), place, wins)
    return FileTable(_read_npy(data, place), (), wins)


def _read_csv(text: str, place: str, wins: bool, gaps: bool) -> FileTable:
    rows = csv_rows(text, place)
    if len(rows) < 2:
        raise DataError(place, "expected a row of labels and then one row for each answer")
    corner, *labels = (label.strip() for label in rows[0][1])
    if _is_number(corner):
        raise DataError(f"{place}:1", f"begins with the number {corner}; expected labels in the first row and column")
    if "" in labels:
        raise DataError(f"{place}:1", f"label {labels.index('') + 1} is empty; does the line end with a comma?")
    table: list[list[float]] = []
    for number, (first, *cells) in rows[1:]:
        where = f"{place}:{number}"
        if len(cells) != len(labels):
            raise DataError(where, f"{len(cells)} numbers in a table of {len(labels)} labels")
        if len(table) < len(labels) and first.strip() != labels[len(table)]:
            expected = labels[len(table)]
            raise DataError(
                where, f"row {first.strip()!r} where column order says {expected!r}; use one order for both"
            )
        table.append([_cell(cell, where, gaps) for cell in cells])
    if len(table) != len(labels):
        raise GameError(place, f"{len(table)} rows and {len(labels)} columns; a preference table is square")
    numbers = np.array(table)
    if not wins:
        numbers = _unrounded(numbers, [cell for _, row in rows[1:] for cell in row[1:]])
    return FileTable(numbers, tuple(labels), wins)


def _cell(cell: str, where: str, gaps: bool) -> float:
    if gaps and not cell.strip():
        return math.nan
    try:
        return float(cell)
    except ValueError as error:
        shown = f"`{cell.strip()[:_SHOWN]}` is no number" if cell.strip() else "a cell is empty"
        hint = "an answer against itself is 0.5 in a table of probabilities and 0 in one of wins"
        raise DataError(where, f"{shown}; every cell is one, with a point for decimals ({hint})") from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _unrounded(table: Floats, cells: list[str]) -> Floats:
    """The table with both readings of every pair averaged, where nothing but rounding in print sets them apart."""
    if np.isnan(np.diagonal(table)).any() or not all(re.fullmatch(r"\s*[01]?\.?\d*\s*", cell) for cell in cells):
        return table
    decimals = max(len(cell.strip().partition(".")[2]) for cell in cells)
    off = np.nanmax(np.abs(table + table.T - 1))
    if decimals < _ENOUGH_DECIMALS or off > 1.001 * 10.0**-decimals:
        return table
    averaged: Floats = (table + 1 - table.T) / 2
    return averaged


def _read_json(text: str, place: str, wins: bool) -> FileTable:
    content = parse_json(text, place)
    if isinstance(content, list):
        return FileTable(_rectangle(content, place), (), wins)
    if isinstance(content, dict) and "users" in content:
        raise DataError(place, "holds a population; say how many answers its users are shown: --answers-shown 1")
    if not isinstance(content, dict) or ("P" in content) == ("wins" in content):
        raise DataError(place, 'expected rows of numbers, or an object with "P" or "wins", and "labels"')
    if wins and "P" in content:
        raise ConfigError("--wins", f'{place} says that it holds win rates ("P"); counts are called "wins"')
    labels = content.get("labels", [])
    if not isinstance(labels, list):
        raise DataError(place, f'"labels" is a list, got {labels!r}')
    if "labels" in content and not labels:
        raise DataError(place, '"labels" is an empty list; leave it out, or name every answer')
    counts = wins or "wins" in content
    numbers = _rectangle(content["wins" if "wins" in content else "P"], place)
    return FileTable(numbers, tuple(str(label) for label in labels), counts)


def _rectangle(rows: Any, place: str) -> Floats:
    below = [rows]
    while below:
        part = below.pop()
        if isinstance(part, list):
            below += reversed(part)  # so that the first wrong cell is named
        elif isinstance(part, bool) or not isinstance(part, (int, float)):
            raise DataError(place, f"a preference table is a rectangle of numbers, got {str(part)[:60]!r}")
    return as_table(rows, place)


def _read_npy(data: bytes, place: str) -> Floats:
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # whatever numpy makes of a torn header: SyntaxError, MemoryError, ...
        raise DataError(place, f"not an NPY array: {str(error) or type(error).__name__}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        kind = array.dtype if isinstance(array, np.ndarray) else "an archive of several arrays"
        raise DataError(place, f"not an NPY array of real numbers but of {kind}")
    return as_table(array, place)
