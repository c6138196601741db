"""JSON that people bring: one message for whatever is wrong with it."""

from __future__ import annotations

import json
from typing import Any

from comal.errors import ComalError, DataError
from comal.reading.text import require_text


class _TwiceError(ValueError):
    """A key that is there twice; plainly the last one would win, in silence."""


def parse_json(text: str, place: str, kind: type[ComalError] = DataError) -> Any:
    """The value of a JSON text.

    Raises:
        ComalError: of this kind; not JSON (naming the line), nested too deeply, a key twice in one object, a number
            of thousands of digits, or a text that is none (see `require_text`).
    """
    try:
        value = _loaded(text)
    except json.JSONDecodeError as error:
        raise kind(f"{place}:{error.lineno}", f"not JSON: {error.msg} at column {error.colno}") from error
    except (RecursionError, ValueError) as error:
        raise kind(place, _reason(error)) from error
    require_text(value, place, kind)
    return value


def parse_json_lines(text: str, place: str) -> list[tuple[str, Any]]:
    """The values of JSON lines, each with its place; empty lines are let pass.

    Only a line feed ends a line: U+2028, U+0085 and the like may stand in a JSON text as they are.

    Raises:
        DataError: as `parse_json`, naming the line, or no line at all.
    """
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{place}:{number}"
        try:
            value = _loaded(line)
        except json.JSONDecodeError as error:
            raise DataError(
                where, f"this line is not JSON ({error.msg} at column {error.colno}): {line[:60]!r}"
            ) from error
        except (RecursionError, ValueError) as error:
            raise DataError(where, _reason(error)) from error
        require_text(value, where)
        rows.append((where, value))
    if not rows:
        raise DataError(place, "the file has no rows")
    return rows


def _loaded(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _TwiceError(f"`{twice}` is there twice in one object")
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error) if isinstance(error, _TwiceError) else "a number has more digits than can be read"
