"""CSV that people bring: every cell is the text that stands there, in the column that its row says.

Not pandas: it takes "None", "NA" and "null" for missing, 007 for 7, and shifts the columns of rows that are longer than
the header.
"""

from __future__ import annotations

import csv
import io
import re
from typing import Any, Final

from comal.errors import DataError

_LONGEST: Final = 2**31 - 1  # characters; csv's own limit is 131,072
_SPACED: Final = re.compile(r'[ \t]+"')
_SHOWN: Final = 40


def csv_rows(text: str, place: str) -> list[tuple[int, list[str]]]:
    """The rows of a CSV text that are not empty, each with the line it ends on.

    Raises:
        DataError: quotes that are never closed, preceded by a space or followed by more than a comma, or a separator
            that is no comma.
    """
    try:
        rows = _parsed(text)
    except _NotCsvError as error:
        raise DataError(f"{place}:{error.line}", f"not CSV: {error}") from error
    _refuse_spaced_quotes(rows, text, place)
    if rows and len(rows[0][1]) == 1:
        first = rows[0][1][0]
        for mark, name in ((";", "semicolons"), ("\t", "tabs")):
            if mark in first:
                raise DataError(f"{place}:1", f"columns are separated by {name}; separate them by commas")
    return rows


def csv_table(text: str, place: str) -> list[tuple[str, dict[str, str]]]:
    """The rows below a header, by column name, each with its place. Columns without a name are let pass.

    Raises:
        DataError: as `csv_rows` and `named_cells`.
    """
    return named_cells(csv_rows(text, place), place)


def named_cells(rows: list[tuple[int, list[str]]], place: str) -> list[tuple[str, dict[str, str]]]:
    """The same, of a text's `csv_rows`.

    Raises:
        DataError: no rows, a name that is there twice, or a row that has not as many fields as the header.
    """
    if not rows:
        raise DataError(place, "the file has no rows")
    (_, header), *rows = rows
    names = [name.strip() for name in header]
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{place}:1", f"two columns are named `{twice}`")
    found = []
    for line, row in rows:
        if len(row) != len(names):
            raise DataError(
                f"{place}:{line}",
                f"{_fields(len(row))} where the header has {len(names)}; quote texts with commas, and end no line "
                "with one",
            )
        found.append((f"{place}:{line}", {name: cell for name, cell in zip(names, row, strict=True) if name}))
    if not found:
        raise DataError(place, "the file has no rows below its header")
    return found


class _NotCsvError(Exception):
    def __init__(self, line: int, reason: object) -> None:
        super().__init__(str(reason))
        self.line = line


def _parsed(text: str, **dialect: Any) -> list[tuple[int, list[str]]]:
    before = csv.field_size_limit(_LONGEST)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True, **dialect)
        try:
            return [(reader.line_num, row) for row in reader if row]
        except csv.Error as error:
            raise _NotCsvError(reader.line_num, error) from error
    finally:
        csv.field_size_limit(before)


def _refuse_spaced_quotes(rows: list[tuple[int, list[str]]], text: str, place: str) -> None:
    """Refuse a quote after a space: to CSV it is a letter of the text, and a comma behind it ends the cell."""
    suspects = [(n, line, cell) for n, (line, row) in enumerate(rows) for cell in row if _SPACED.match(cell)]
    if not suspects:
        return
    try:
        meant = [row for _, row in _parsed(text, skipinitialspace=True)]
    except _NotCsvError:
        meant = []
    for n, line, cell in suspects:
        if n >= len(meant) or cell not in meant[n]:  # a cell that was quoted whole is the same either way
            shown = cell if len(cell) <= _SHOWN else cell[: _SHOWN - 1] + "…"
            raise DataError(
                f"{place}:{line}",
                f"a space before the quote in `{shown}` makes it a part of the text; remove the space",
            )


def _fields(count: int) -> str:
    return f"{count} field{'s' * (count != 1)}"
