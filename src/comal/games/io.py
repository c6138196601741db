"""Games from files: CSV (labels in the first row and column), JSON, NPY."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from comal.errors import ConfigError, DataError, GameError
from comal.games.game import Floats, PreferenceGame
from comal.games.named import NAMED, named_game

_SUFFIXES = (".csv", ".json", ".npy")
_ENOUGH_DECIMALS = 6  # with fewer, a slip of the pen could pass for rounding


def load_game(source: str, symmetrise: bool = False) -> PreferenceGame:
    """A file's game, or a named one (see `named_game`).

    Raises:
        ConfigError: neither a file nor a named game; `symmetrise` for one that is no noisy table.
        DataError: a file that cannot be read as a table.
        GameError: a table that is not a preference game.
    """
    if source.partition(":")[0] in NAMED:  # a file of that name is ./paper
        if symmetrise:
            raise ConfigError("--symmetrise", "does nothing to a named game; leave it out")
        return named_game(source)
    if Path(source).exists() or Path(source).suffix.lower() in _SUFFIXES or "/" in source:
        return read_game(Path(source), symmetrise)
    return named_game(source)


def read_game(path: Path, symmetrise: bool = False) -> PreferenceGame:
    """The game in a CSV, JSON or NPY file; `symmetrise` averages both readings of every pair.

    CSV: the first row and the first column hold the same labels in the same order; a table printed to at least 6
    decimals may miss P + Pᵀ = 1 by one unit of the last, which is rounding and averaged out. JSON: the rows alone, or
    `{"labels": [...], "P": [[...]]}`, or `{"labels": [...], "wins": [[...]]}` with counts. NPY: an array (n, n), or (B,
    n, n) for a batch.

    Raises:
        DataError: a file that cannot be read as a table.
        GameError: a table that is not a preference game.
        ConfigError: `symmetrise` for a file of counts.
    """
    readers = {".csv": _read_csv, ".json": _read_json, ".npy": _read_npy}
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise DataError(str(path), f"a game is a {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]} file")
    try:
        table, labels, counts = readers[suffix](path)
    except FileNotFoundError as error:
        raise DataError(str(path), "no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(path), f"cannot be read: {error}") from error
    if counts:
        if symmetrise:
            raise ConfigError("--symmetrise", f"does nothing to counts of wins, which {path} holds; leave it out")
        return PreferenceGame.from_counts(table, labels, name=str(path))
    if symmetrise:
        return PreferenceGame.symmetrised(table, labels, name=str(path))
    return PreferenceGame(table, tuple(labels), name=str(path))


def _read_csv(path: Path) -> tuple[Any, list[str], bool]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [(number, row) for number, row in enumerate(csv.reader(file), start=1) if row]
    if len(rows) < 2:
        raise DataError(str(path), "expected a row of labels and then one row for each answer")
    labels = [label.strip() for label in rows[0][1][1:]]
    table: list[list[float]] = []
    for number, (first, *cells) in rows[1:]:
        place = f"{path}:{number}"
        if len(cells) != len(labels):
            raise DataError(place, f"{len(cells)} numbers in a table of {len(labels)} labels")
        if len(table) < len(labels) and first.strip() != labels[len(table)]:
            expected = labels[len(table)]
            raise DataError(
                place, f"row {first.strip()!r} where column order says {expected!r}; use one order for both"
            )
        try:
            table.append([float(cell) for cell in cells])
        except ValueError as error:
            raise DataError(place, f"{error}; every cell is a number") from error
    if len(table) != len(labels):
        raise GameError(str(path), f"{len(table)} rows and {len(labels)} columns; a preference table is square")
    return _unrounded(np.array(table), [cell for _, row in rows[1:] for cell in row[1:]]), labels, False


def _unrounded(table: Floats, cells: list[str]) -> Floats:
    """The table with both readings of every pair averaged, where nothing but rounding in print sets them apart."""
    if not all(re.fullmatch(r"\s*[01]?\.?\d*\s*", cell) for cell in cells):
        return table
    decimals = max(len(cell.strip().partition(".")[2]) for cell in cells)
    off = np.abs(table + table.T - 1).max()
    if decimals < _ENOUGH_DECIMALS or off > 1.001 * 10.0**-decimals:
        return table
    averaged: Floats = (table + 1 - table.T) / 2
    return averaged


def _read_json(path: Path) -> tuple[Any, list[str], bool]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}", f"not JSON: {error.msg}") from error
    if isinstance(content, list):
        return content, [], False
    if not isinstance(content, dict) or ("P" in content) == ("wins" in content):
        raise DataError(str(path), 'expected rows of numbers, or an object with "P" or "wins", and "labels"')
    labels = content.get("labels", [])
    if not isinstance(labels, list):
        raise DataError(str(path), f'"labels" is a list, got {labels!r}')
    counts = "wins" in content
    return content["wins" if counts else "P"], [str(label) for label in labels], counts


def _read_npy(path: Path) -> tuple[Any, list[str], bool]:
    try:
        return np.load(path, allow_pickle=False), [], False
    except (ValueError, EOFError) as error:
        raise DataError(str(path), f"not an NPY array: {error}") from error
