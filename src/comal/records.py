"""Records and their JSON: a frozen dataclass beside the code that writes a file says what is in it, both ways.

The keys on disk are the fields, in their order. A field can say otherwise:

`key("other")`   it has another name on disk
`INLINE`         it is a record whose fields stand among those of the one it belongs to
`OMITTED`        where it is None, its key is not there

Texts, numbers, truth values, literals, lists (tuples, arrays), mappings, records and `None` beside any of them can be
fields. The keys of a mapping are texts, or records with a `name` and a class method `named` that reads it.

Keys that no field knows are left alone, so that files of a newer minor version can be read; they are not written again.
A field without a default that is not there, and a value of another kind than its field's, is a user's error that names
file and field.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import numpy as np

from comal.errors import RunError

T = TypeVar("T")
INLINE = types.MappingProxyType({"inline": True})
OMITTED = types.MappingProxyType({"omitted": True})
_SCALARS = {str: "text", int: "whole number", float: "number", bool: "truth value"}
_SHOWN = 60
_REMEDY = "restore or remove this file"


def key(name: str) -> Mapping[str, Any]:
    """Metadata of a field that has another name on disk."""
    return {"key": name}


def read(kind: type[T], path: Path, *, null_is_nan: bool = False) -> T:
    """The record in a JSON file.

    Raises:
        RunError: the file cannot be read, or is no such record.
    """
    found: T = from_json(kind, read_plain(path), str(path), null_is_nan=null_is_nan)
    return found


def read_plain(path: Path) -> Any:
    """The JSON value in a file.

    Raises:
        RunError: the file cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:  # decoding errors are ValueErrors
        raise RunError(str(path), f"this file cannot be read ({error}); {_REMEDY}") from error


def from_json(kind: Any, plain: Any, place: str, *, null_is_nan: bool = False) -> Any:
    """A value of type `kind`, most often a record, from JSON's.

    Args:
        kind: its type, in the ways in which fields are annotated.
        plain: what JSON gives.
        place: the file, for messages.
        null_is_nan: read `null` as NaN where a number is expected.

    Raises:
        RunError: a field that is not there, or of another kind.
    """
    return _Reader(place, null_is_nan).value(kind, plain, "")


def to_json(value: Any, *, nan_is_null: bool = False) -> Any:
    """A record, or anything a field can hold, as plain values; NaN stays NaN, which no file takes, unless told."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain_record(value, nan_is_null)
    if isinstance(value, Mapping):
        return {_plain_key(k): to_json(item, nan_is_null=nan_is_null) for k, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item, nan_is_null=nan_is_null) for item in value]
    if isinstance(value, np.ndarray):
        return to_json(value.tolist(), nan_is_null=nan_is_null)
    if nan_is_null and isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _plain_record(record: Any, nan_is_null: bool) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if value is None and (field.metadata.get("omitted") or field.metadata.get("inline")):
            continue
        written = to_json(value, nan_is_null=nan_is_null)
        plain |= written if field.metadata.get("inline") else {_key(field): written}
    return plain


def _plain_key(found: Any) -> str:
    return found if isinstance(found, str) else str(found.name)


def _key(field: Field[Any]) -> str:
    return str(field.metadata.get("key", field.name))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


class _Reader:
    def __init__(self, place: str, null_is_nan: bool) -> None:
        self.place = place
        self.null_is_nan = null_is_nan

    def wrong(self, field: str, wanted: str, found: Any) -> RunError:
        shown = json.dumps(found, ensure_ascii=False)
        shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"
        where = f"`{field}` is no {wanted}" if field else f"expected {_article(wanted)}"
        return RunError(self.place, f"{where}, got {shown}; {_REMEDY}")

    def value(self, kind: Any, plain: Any, field: str) -> Any:
        origin, arguments = get_origin(kind), get_args(kind)
        if kind is Any:
            return plain
        if origin in (Union, types.UnionType):
            (inner,) = (one for one in arguments if one is not type(None))
            return None if plain is None else self.value(inner, plain, field)
        if origin is Literal:
            if plain not in arguments:
                raise self.wrong(field, f"one of {', '.join(map(str, arguments))}", plain)
            return plain
        if is_dataclass(kind):
            return self.record(kind, plain, field)
        if origin is tuple:
            return self.items(arguments, plain, field)
        if origin is np.ndarray or kind is np.ndarray:
            return self.array(plain, field)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return self.mapping(arguments[0], arguments[1], plain, field)
        return self.scalar(kind, plain, field)

    def scalar(self, kind: Any, plain: Any, field: str) -> Any:
        if kind is float and plain is None and self.null_is_nan:
            return float("nan")
        if kind not in _SCALARS:
            raise TypeError(f"{field}: a record cannot hold {kind}")
        # JSON's 1 is as good as 1.0; a truth value is no number
        accepted = (int, float) if kind is float else kind
        if not isinstance(plain, accepted) or (isinstance(plain, bool) and kind is not bool):
            raise self.wrong(field, _SCALARS[kind], plain)
        return plain

    def record(self, kind: Any, plain: Any, field: str) -> Any:
        if not isinstance(plain, Mapping):
            raise self.wrong(field, "object", plain)
        hints, values = _hints(kind), {}
        for own in fields(kind):
            if not own.init:
                continue
            name, hint = _key(own), hints[own.name]
            if own.metadata.get("inline"):
                if type(None) not in get_args(hint) or self.begins(hint, plain):
                    values[own.name] = self.value(hint, plain, field)
            elif name in plain:
                values[own.name] = self.value(hint, plain[name], f"{field}.{name}" if field else name)
            elif own.default is MISSING and own.default_factory is MISSING:
                raise RunError(self.place, f"`{f'{field}.{name}' if field else name}` is missing; {_REMEDY}")
        try:
            return kind(**values)
        except ValueError as error:  # what the record itself refuses
            raise RunError(self.place, f"{f'`{field}`: ' if field else ''}{error}; {_REMEDY}") from error

    def begins(self, hint: Any, plain: Mapping[str, Any]) -> bool:
        """Whether any key of an inline record that need not be there is there."""
        (inner,) = (one for one in get_args(hint) if one is not type(None))
        return any(_key(own) in plain for own in fields(inner))

    def items(self, kinds: tuple[Any, ...], plain: Any, field: str) -> tuple[Any, ...]:
        if not isinstance(plain, (list, tuple)):
            raise self.wrong(field, "list", plain)
        if len(kinds) == 2 and kinds[1] is Ellipsis:
            kinds = (kinds[0],) * len(plain)
        if len(kinds) != len(plain):
            raise self.wrong(field, f"list of {len(kinds)}", plain)
        return tuple(self.value(k, item, f"{field}.{i}") for i, (k, item) in enumerate(zip(kinds, plain, strict=True)))

    def array(self, plain: Any, field: str) -> Any:
        if not isinstance(plain, (list, tuple)):
            raise self.wrong(field, "list of numbers", plain)
        try:
            return np.array(plain, dtype=np.float64)  # null becomes NaN
        except (ValueError, TypeError) as error:
            raise self.wrong(field, "table of numbers", plain) from error

    def mapping(self, key_kind: Any, kind: Any, plain: Any, field: str) -> dict[Any, Any]:
        if not isinstance(plain, Mapping):
            raise self.wrong(field, "object", plain)
        named = (lambda name: name) if key_kind is str else key_kind.named
        return {named(k): self.value(kind, item, f"{field}.{k}" if field else str(k)) for k, item in plain.items()}


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
