"""What the shell offers after Tab: names of recipes, games, algorithms and judges, and files of the right kind.

Asked at every press of the key, so nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

_RECIPES = (".yaml", ".yml")
_JUDGES = (".yaml", ".yml", ".json")
_GAMES = (".csv", ".json", ".npy")

KINDS = ("algorithms", "judges", "losses", "engines", "games", "populations", "recipes")
"""What `comal list` lists."""


def recipes(incomplete: str) -> list[str]:
    """Recipes that ship, and YAML files."""
    from comal.recipes.load import recipe_names

    return [*_begin(recipe_names(), incomplete), *_files(incomplete, _RECIPES)]


def games(incomplete: str) -> list[str]:
    """Named games and populations, and files of a table."""
    from comal.games.named import NAMED
    from comal.games.populations.named import NAMED_POPULATIONS

    return [*_begin([*NAMED, *NAMED_POPULATIONS], incomplete), *_files(incomplete, _GAMES)]


def algorithms(incomplete: str) -> list[str]:
    """Algorithms that ship."""
    from comal.plugins import ALGORITHMS

    return _begin(ALGORITHMS.names(), incomplete)


def judges(incomplete: str) -> list[str]:
    """Judges that ship, recipes whose judge is meant, and files that hold one or a run."""
    from comal.plugins import JUDGES
    from comal.recipes.load import recipe_names

    return [*_begin([*JUDGES.names(), *recipe_names()], incomplete), *_files(incomplete, _JUDGES)]


def starting_judges(incomplete: str) -> list[str]:
    """Judges that `comal init` writes."""
    from comal.recipes.starter import JUDGE_KINDS

    return _begin(JUDGE_KINDS, incomplete)


def kinds(incomplete: str) -> list[str]:
    """What `comal list` lists."""
    return _begin(KINDS, incomplete)


def _begin(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))


def _files(incomplete: str, endings: tuple[str, ...]) -> Iterator[str]:
    """Files with these endings, and folders, that the word may become; written as the word is."""
    said, slash, begun = incomplete.rpartition("/")
    folder = Path(said + slash).expanduser() if slash else Path()
    try:
        found = sorted(folder.iterdir())
    except OSError:
        return
    for path in found:
        if not path.name.startswith(begun) or (path.name.startswith(".") and not begun):
            continue
        if path.is_dir():
            yield f"{said}{slash}{path.name}/"
        elif path.name.lower().endswith(endings):
            yield f"{said}{slash}{path.name}"
