"""Configurations as flat tables of dotted keys, and where several differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that is not the same in all runs; None where a run has no such setting."""

    key: str
    values: tuple[str | None, ...]


def differing(configurations: Sequence[Mapping[str, Any]]) -> list[Setting]:
    """The settings in which configurations differ, in the order of their first appearance."""
    tables = [flat(c) for c in configurations]
    keys = dict.fromkeys(key for table in tables for key in table)
    rows = [Setting(key, tuple(table.get(key) for table in tables)) for key in keys]
    return [row for row in rows if len(set(row.values)) > 1]


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Dotted keys and their values as JSON.

    >>> flat({"a": {"b": 1, "c": []}, "d": [{"e": None}]})
    {'a.b': '1', 'a.c': '[]', 'd.0.e': 'null'}
    """
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if _is_nested(value) else None
    if items is None or not value:
        return {prefix.removesuffix("."): json.dumps(value, ensure_ascii=False)}
    return {k: v for key, item in items for k, v in flat(item, f"{prefix}{key}.").items()}


def _is_nested(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and any(isinstance(item, (Mapping, list, tuple)) for item in value)
