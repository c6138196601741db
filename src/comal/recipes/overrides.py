"""`--set key=value`: dotted keys, YAML values, as a nested mapping."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from comal.errors import ConfigError


def parse_overrides(settings: Iterable[str]) -> dict[str, Any]:
    """`["inner.name=inpo", "inner.eta=3"]` as `{"inner": {"name": "inpo", "eta": 3}}`; of equal keys the last wins.

    Raises:
        ConfigError: no `=`, an empty key, a value that is not YAML, or a key used both as a value and as a group.
    """
    nested: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        path = key.strip().split(".")
        if not equals or not all(path):
            raise ConfigError("--set", f"`{setting}` is not key=value, e.g. --set tau=0.1 or --set inner.name=inpo")
        group = nested
        for depth, part in enumerate(path[:-1], start=1):
            group = group.setdefault(part, {})
            if not isinstance(group, dict):
                above = ".".join(path[:depth])
                raise ConfigError("--set", f"`{above}` is already set to {group!r}; write {above}.name={group} instead")
        if isinstance(group.get(path[-1]), dict):
            raise ConfigError("--set", f"`{key}` already has settings below it; write {key}.name={text} instead")
        group[path[-1]] = parse_value(text, key)
    return nested


def parse_value(text: str, place: str) -> Any:
    """One YAML value; numbers such as 1e-3, which YAML 1.1 takes for words, are numbers.

    Raises:
        ConfigError: not YAML.
    """
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(place, f"cannot read the value `{text}`: {str(error).splitlines()[0]}") from error
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
