"""Where `package.module:name` is found: among what is installed, then beside the recipe, then in the working folder.

Folders come after everything on `sys.path`, so a file of one's own never takes the place of an installed package. They
are looked at for the modules that somebody named, and for what these import from beside them; for nothing else, so a
folder `wandb/` or a file `trl.py` that lies about is no optional dependency of anybody.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from comal.errors import ComalError, ConfigError, near_match

_NAMED = re.compile(r"(?P<top>[^\W\d]\w*)(?:\.\w+)*:[^\W\d][\w.]*")

_folders: list[Path] = []
_named: set[str] = set()


def search(folder: Path) -> None:
    """Look for named modules in a folder, too: that of a recipe, of a judge's file, or one that a run remembers."""
    whole = folder.expanduser().resolve()
    if whole not in _folders:
        _folders.append(whole)


def searched() -> list[Path]:
    """The folders that are looked at after what is installed, in order; the working folder comes last."""
    try:
        working = [Path.cwd()]
    except OSError:  # it was removed
        working = []
    return list(dict.fromkeys([*_folders, *working]))


def folders_of(values: Any) -> list[Path]:
    """The searched folders with the imported modules that plain values name, as `module:name`, anywhere in them."""
    tops = dict.fromkeys(top for text in _texts(values) if (top := _top(text)) is not None)
    found = [place for top in tops if (module := sys.modules.get(top)) is not None for place in _places(module)]
    return [folder for folder in searched() if folder.resolve() in found]


def load_object(path: str, place: str, kind: type[ComalError] = ConfigError) -> Any:
    """The object at `package.module:name`.

    Args:
        path: of the object.
        place: where that was written, for messages.
        kind: of the error.

    Raises:
        ComalError: of this kind; the module cannot be imported or has no such name, or two folders hold different
            modules of this name.
    """
    module_name, _, attribute = path.partition(":")
    if not (module_name and attribute) or module_name.startswith("."):
        raise kind(place, f"need `package.module:name`, got `{path}`")
    module = _module(module_name, path, place, kind)
    if not hasattr(module, attribute):
        where = getattr(module, "__file__", None)
        whose = f"`{module_name}`" if where is None else f"`{module_name}` ({where})"
        raise kind(place, f"{whose} has no `{attribute}`.{near_match(attribute, vars(module))}")
    return getattr(module, attribute)


class _Finder(importlib.abc.MetaPathFinder):
    """Asked last of all, when nothing that is installed has the name."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        if path is not None:  # within a package, which says itself where its modules are
            return None
        named = fullname in _named
        places = searched() if named else _in_use()
        spec = importlib.machinery.PathFinder.find_spec(fullname, [str(folder) for folder in places])
        # Any folder is a package without a file, but only one that was named is meant as such.
        return None if spec is None or (spec.loader is None and not named) else spec


sys.meta_path.append(_Finder())


def _module(name: str, path: str, place: str, kind: type[ComalError]) -> ModuleType:
    top = name.partition(".")[0]
    _named.add(top)
    _refuse_two(top, path, place, kind)
    if name not in sys.modules:  # its file may be new
        importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise kind(place, f"cannot import `{name}` of `{path}`: {error}") from error
        listed = ", ".join(map(str, searched()))
        near = near_match(name, _modules(name)).partition(" Known:")[0]
        raise kind(
            place,
            f"cannot import `{name}` of `{path}`: {error}.{near} Searched were what is installed, and {listed}",
        ) from error
    except ImportError as error:
        raise kind(place, f"cannot import `{name}` of `{path}`: {error}") from error
    except (Exception, SystemExit) as error:  # anybody's code
        said = f"{type(error).__name__}: {error}"
        raise kind(place, f"cannot import `{name}` of `{path}`: the module raised {said}") from error


def _refuse_two(top: str, path: str, place: str, kind: type[ComalError]) -> None:
    """One process has one module of a name: of two recipes' different ones the second would silently be the first."""
    found = [p for folder in _folders for p in (folder / f"{top}.py", folder / top / "__init__.py") if p.is_file()]
    if len(found) < 2 or importlib.machinery.PathFinder.find_spec(top) is not None:  # installed: that one it is
        return
    for other in found[1:]:
        if other.read_bytes() != found[0].read_bytes():
            raise kind(place, f"`{path}` may be in {found[0]} or in {other}, which differ; rename one of them")


def _in_use() -> list[Path]:
    """Folders that modules which were named have come from."""
    return folders_of([f"{name}:_" for name in _named])


def _places(module: ModuleType) -> list[Path]:
    """Folders that a top-level module lies in."""
    packages = [Path(entry) for entry in getattr(module, "__path__", ())]
    file = getattr(module, "__file__", None)
    return [p.resolve().parent for p in packages or ([Path(file)] if file else [])]


def _modules(name: str) -> Iterator[str]:
    """Names of modules in the folders that are searched, as deep as `name` is."""
    depth = name.count(".")
    for folder in searched():
        for path in folder.glob("*/" * depth + "*"):
            module = path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))
            parts = path.relative_to(folder).with_suffix("").parts
            if module and all(part.isidentifier() for part in parts):
                yield ".".join(parts)


def _texts(values: Any) -> Iterator[str]:
    if isinstance(values, str):
        yield values
    elif isinstance(values, Mapping):
        yield from _texts(list(values.values()))
    elif isinstance(values, (list, tuple)):
        for value in values:
            yield from _texts(value)


def _top(text: str) -> str | None:
    found = _NAMED.fullmatch(text)
    return None if found is None else found["top"]
