"""`--set key=value`: dotted keys, YAML values, as a nested mapping."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from comal.errors import ConfigError
from comal.recipes.yaml_text import parse_yaml

_SHOWN = 60


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
    """One YAML value; a bare `inf` is a number, as `.inf` is in YAML.

    Raises:
        ConfigError: not YAML, or read in two ways (see `comal.recipes.yaml_text`).
    """
    if text.strip() in ("inf", "+inf", "-inf"):
        return float(text)
    try:
        return parse_yaml(text, place)
    except ConfigError as error:
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        raise ConfigError(place, f"cannot read the value `{shown}`: {error.problem}") from error
