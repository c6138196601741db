"""Finding and building algorithms, judges, losses and engines by name.

A member of a family is one file. `name: inpo` is the class of that family defined in `comal/algorithms/inpo.py`, or in
a file of that name in one of the family's folders; `name: my_package.rules:Mine` is a class of anybody's package, or of
a file beside the recipe (`comal.importing`). The remaining keys are the fields of that class.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import math
import pkgutil
import types
import typing
from collections.abc import Mapping
from typing import Any, cast

from comal.errors import ConfigError, near_match
from comal.importing import load_object


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """A kind of plug-in: where its members live and which class they derive from."""

    kind: str
    package: str
    base_path: str
    folders: tuple[str, ...] = ()
    """Of the package, those that hold members too."""

    @property
    def base(self) -> type[Any]:
        """The abstract class that every member derives from."""
        return cast("type[Any]", load_object(self.base_path, self.kind))

    def names(self) -> list[str]:
        """Names of the members that ship with comal, sorted; files that define no member are left out."""
        return sorted(name for name, path in self._modules() if self._member(importlib.import_module(path)))

    def find(self, name: str, place: str) -> type[Any]:
        """The class called `name`.

        Raises:
            ConfigError: no such member, or an outside class that is not of this family.
        """
        if ":" in name:
            cls = load_object(name, place)
            if not (inspect.isclass(cls) and issubclass(cls, self.base)):
                raise ConfigError(place, f"`{name}` is not a subclass of {self.base_path}")
            return cls
        if name not in self.names():
            article = "an" if self.kind[0] in "aeiou" else "a"
            raise ConfigError(place, f"`{name}` is not {article} {self.kind}.{near_match(name, self.names())}")
        cls = self._member(importlib.import_module(dict(self._modules())[name]))
        assert cls is not None
        return cls

    def build(self, spec: object, place: str) -> Any:
        """An instance from `{"name": ..., **fields}` or a bare name.

        Raises:
            ConfigError: unknown name or option, missing or invalid value.
        """
        if isinstance(spec, self.base):
            return spec
        if isinstance(spec, str):
            spec = {"name": spec}
        if not isinstance(spec, Mapping) or not isinstance(spec.get("name"), str):
            raise ConfigError(place, f"expected the name of {self.kind}, or a mapping with `name`, got {spec!r}")
        cls = self.find(spec["name"], f"{place}.name")
        hints = typing.get_type_hints(cls)
        fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
        values: dict[str, Any] = {}
        for key, value in spec.items():
            if key == "name":
                continue
            if key not in fields:
                takes = near_match(str(key), fields) if fields else " It takes no options"
                raise ConfigError(f"{place}.{key}", f"`{spec['name']}` has no such option.{takes}")
            values[key] = _convert(value, hints[key], f"{place}.{key}")
        for key, field in fields.items():
            if (
                key not in values
                and field.default is dataclasses.MISSING
                and field.default_factory is dataclasses.MISSING
            ):
                raise ConfigError(f"{place}.{key}", f"`{spec['name']}` needs a value for this option")
        try:
            return cls(**values)
        except ValueError as error:
            raise ConfigError(place, str(error)) from error

    @property
    def packages(self) -> tuple[str, ...]:
        """The package and its folders of members."""
        return (self.package, *(f"{self.package}.{folder}" for folder in self.folders))

    def _modules(self) -> list[tuple[str, str]]:
        """Names of the files and their modules."""
        return [
            (found.name, f"{package}.{found.name}")
            for package in self.packages
            for found in pkgutil.iter_modules(importlib.import_module(package).__path__)
            if not (found.name.startswith("_") or found.ispkg)
        ]

    def _member(self, module: types.ModuleType) -> type[Any] | None:
        members = [
            c
            for c in vars(module).values()
            if inspect.isclass(c)
            and c.__module__ == module.__name__
            and issubclass(c, self.base)
            and not inspect.isabstract(c)
            and not c.__name__.startswith("_")
        ]
        if len(members) > 1:
            raise TypeError(f"{module.__name__} defines {len(members)} members of the family `{self.kind}`")
        return members[0] if members else None


ALGORITHMS = Family("algorithm", "comal.algorithms", "comal.algorithms.base:Algorithm", ("variants",))
JUDGES = Family("judge", "comal.judges", "comal.judges.base:Judge")
LOSSES = Family("loss", "comal.losses", "comal.losses.base:Loss")
ENGINES = Family("engine", "comal.policies.engines", "comal.policies.engines.base:Engine")
FAMILIES = (ALGORITHMS, JUDGES, LOSSES, ENGINES)


def describe(member: object) -> dict[str, Any]:
    """The `{"name": ..., **fields}` from which `Family.build` makes an equal member."""
    cls = type(member)
    family = next(f for f in FAMILIES if isinstance(member, f.base))
    ours = cls.__module__.rpartition(".")[0] in family.packages
    name = cls.__module__.rpartition(".")[2] if ours else f"{cls.__module__}:{cls.__qualname__}"
    fields = {f.name: getattr(member, f.name) for f in dataclasses.fields(cast("Any", member)) if f.init}
    return {"name": name} | {key: _plain(value) for key, value in fields.items()}


def _plain(value: object) -> Any:
    # Only a dataclass can be a member: asking the families first would import torch for every number.
    if dataclasses.is_dataclass(value) and any(isinstance(value, family.base) for family in FAMILIES):
        return describe(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):  # settings of a part of a member
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and math.isinf(value):
        return str(value)  # JSON has no infinity, and `inf` as a text is built into one
    return value


def _family_of(annotation: Any) -> Family | None:
    if not inspect.isclass(annotation):
        return None
    return next(
        (
            f
            for f in FAMILIES
            if annotation.__module__ == f.base_path.partition(":")[0] and issubclass(annotation, f.base)
        ),
        None,
    )


def _convert(value: Any, annotation: Any, place: str) -> Any:
    """`value` as the annotated type; members of other families are built on the way."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        inner = [a for a in arguments if a is not type(None)]
        if len(inner) == 1:
            return _convert(value, inner[0], place)
    if family := _family_of(annotation):
        return family.build(value, place)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis and _family_of(arguments[0]):
        if not isinstance(value, (list, tuple)):
            raise ConfigError(place, f"expected a list, got {value!r}")
        return tuple(_convert(item, arguments[0], f"{place}[{i}]") for i, item in enumerate(value))
    import pydantic  # not at the top: `import comal` stays light

    try:
        return pydantic.TypeAdapter(annotation).validate_python(value)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"[{part!r}]" for part in first["loc"])
        raise ConfigError(f"{place}{where}", f"{first['msg']}, got {first['input']!r}") from error
