"""Recipes: YAML files, found by name or path, changed by `--set`, validated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, TypeVar

import pydantic

from comal.errors import ConfigError, near_match
from comal.importing import search
from comal.reading.paths import user_path
from comal.reading.text import decoded, read_bytes
from comal.recipes.overrides import parse_overrides
from comal.recipes.settings import Recipe, Settings
from comal.recipes.yaml_text import parse_yaml

S = TypeVar("S", bound=Settings)
_SHOWN = 120

_SUFFIXES = (".yaml", ".yml")


def recipe_names() -> list[str]:
    """Recipes that ship with comal."""
    folder = resources.files("comal.recipes")
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))


def recipe_text(name: str) -> str:
    """The YAML of a recipe: a file, or one that ships with comal.

    Raises:
        ConfigError: there is no such recipe.
    """
    path = user_path(name)
    if path.suffix in _SUFFIXES:
        if not path.is_file():
            raise ConfigError("recipe", f"there is no file `{name}`")
        return decoded(read_bytes(path), name, ConfigError)
    if name not in recipe_names():
        raise ConfigError("recipe", f"`{name}` is neither a YAML file nor a recipe.{near_match(name, recipe_names())}")
    return (resources.files("comal.recipes") / f"{name}.yaml").read_text(encoding="utf-8")


def load_recipe(name: str, settings: Sequence[str] = ()) -> Recipe:
    """The recipe `name` with `key=value` settings applied. What a file's names as `module:name` may lie beside it.

    Raises:
        ConfigError: no such recipe, not YAML, an unknown key (with the nearest known), a wrong value.
    """
    values = parse_yaml(recipe_text(name), name)
    if user_path(name).suffix in _SUFFIXES:
        search(user_path(name).parent)
    if not isinstance(values, dict):
        raise ConfigError(name, "a recipe is a mapping of settings")
    return validate(_merged(values, parse_overrides(settings)))


def validate(values: Mapping[str, Any]) -> Recipe:
    """A recipe of plain values.

    Raises:
        ConfigError: the first mistake, at its dotted key.
    """
    return _validate(Recipe, values)


def changed(model: type[S], defaults: Mapping[str, Any], settings: Sequence[str]) -> S:
    """Settings of another kind than a recipe: plain default values with `key=value` settings applied.

    Raises:
        ConfigError: the first mistake, at its dotted key.
    """
    return _validate(model, _merged(defaults, parse_overrides(settings)))


def _validate(model: type[S], values: Mapping[str, Any]) -> S:
    try:
        return model.model_validate(dict(values))
    except pydantic.ValidationError as error:
        raise _explained(error, model) from error


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`; a plug-in whose name changes does not inherit the options of another.

    An empty mapping stands for itself: `baselines={}` leaves none.
    """
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(value, Mapping) and value:
            if isinstance(old, str):  # `loss: group` and `--set training.loss.pin_constant=1`
                old = {"name": old}
            renamed = isinstance(old, Mapping) and "name" in value and value["name"] != old.get("name", value["name"])
            merged[key] = dict(value) if renamed or not isinstance(old, Mapping) else _merged(old, value)
        else:
            merged[key] = value
    return merged


def _explained(error: pydantic.ValidationError, model: type[Settings]) -> ConfigError:
    first = error.errors()[0]
    location = [part for part in first["loc"] if isinstance(part, (str, int))]
    place = ".".join(str(part) for part in location) or ("recipe" if model is Recipe else "settings")
    if first["type"] == "extra_forbidden":
        known = _fields_at(location[:-1], model)
        return ConfigError(place, f"there is no such setting.{near_match(str(location[-1]), known)}")
    if first["type"] == "missing":
        return ConfigError(place, "this setting is needed")
    message = first["msg"].removeprefix("Value error, ")
    value = repr(first["input"])
    value = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
    shown = "" if isinstance(first["input"], Mapping) else f", got {value}"
    return ConfigError(place, f"{message[0].lower()}{message[1:]}{shown}")


def _fields_at(location: Sequence[str | int], model: Any) -> list[str]:
    for part in location:
        annotation = model.model_fields[part].annotation
        options = [annotation, *getattr(annotation, "__args__", ())]
        model = next(o for o in options if isinstance(o, type) and issubclass(o, pydantic.BaseModel))
    return list(model.model_fields)
