"""A judge as people name one: by name, inline, or in a file, which may be a recipe."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comal.errors import ConfigError, near_match
from comal.importing import search
from comal.plugins import JUDGES
from comal.reading.json_text import parse_json
from comal.reading.paths import user_path
from comal.reading.text import decoded, read_bytes
from comal.recipes.load import recipe_names, recipe_text
from comal.recipes.overrides import parse_overrides
from comal.recipes.yaml_text import parse_yaml

_FILES = (".yaml", ".yml", ".json")


def read_judge(spec: str, option: str) -> tuple[Any, str]:
    """What `comal.resolve.resolve_judge` makes a judge of, and the place that its errors should name.

    Args:
        spec: a name, `name=... key=value`, an inline mapping, a file, or the name of a recipe that ships with comal.
        option: what to call the place of a mistake that is in no file.

    Raises:
        ConfigError: none of these.
    """
    is_file = spec.lower().endswith(_FILES)
    found = _of_file(user_path(spec), spec, option) if is_file else _inline(spec, option)
    return found, spec if is_file else option


def _of_file(path: Path, spec: str, option: str) -> Any:
    if not path.is_file():
        raise ConfigError(option, f"there is no file `{spec}`")
    search(path.parent)
    text = decoded(read_bytes(path), spec, ConfigError)
    return _judge_of(_loaded(text, spec), spec)


def _inline(spec: str, option: str) -> Any:
    if spec.lstrip().startswith("{"):
        return _loaded(spec, option)
    if "=" in spec:
        try:
            words = shlex.split(spec)
        except ValueError as error:
            raise ConfigError(option, f"cannot read `{spec}`: {error}") from error
        words = words if any(word.startswith("name=") for word in words) else [f"name={words[0]}", *words[1:]]
        return parse_overrides(words)
    names = JUDGES.names()
    if spec in names or ":" in spec:
        return {"name": spec}
    if spec in recipe_names():
        return _judge_of(_loaded(recipe_text(spec), spec), spec)
    known = near_match(spec, [*names, *recipe_names()])
    raise ConfigError(option, f"`{spec}` is no judge, recipe, file or run.{known}")


def _loaded(text: str, place: str) -> Any:
    return (parse_json if place.lower().endswith(".json") else parse_yaml)(text, place, ConfigError)


def _judge_of(values: Any, place: str) -> Any:
    if isinstance(values, Mapping) and isinstance(values.get("recipe"), Mapping):
        values = values["recipe"]
    if isinstance(values, Mapping) and "judge" in values:
        return values["judge"]
    if not isinstance(values, Mapping) or "name" not in values:
        raise ConfigError(place, "expected a mapping with the judge's `name` and options, or a recipe with a `judge`")
    return dict(values)
