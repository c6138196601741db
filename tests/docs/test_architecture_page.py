"""ARCHITECTURE.md names every folder of the package, and no other."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PICTURE = PAGE.partition("```text\n")[2].partition("```")[0]


def pictured() -> list[str]:
    """Paths that the picture's lines begin with, from the root, by their indentation."""
    found: list[str] = []
    above: list[tuple[int, str]] = []
    for line in PICTURE.splitlines():
        begin = re.match(r"( *)((?:[\w/]+(?:/|\.py)(?: \| | +|$))+)", line)
        assert begin, f"begins with no folder or file: {line!r}"
        depth = len(begin[1])
        while above and above[-1][0] >= depth:
            above.pop()
        parent = above[-1][1] if above else ""
        names = re.findall(r"[\w/]+(?:/|\.py)", begin[2])
        paths = [str(PurePosixPath(parent, name)) for name in names]
        found += paths
        if len(names) == 1:
            above.append((depth, paths[0]))
    return found


@pytest.mark.parametrize("path", sorted(set(pictured())))
def test_what_the_picture_names_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize(
    "path", sorted(p.parent.relative_to(ROOT).as_posix() for p in (ROOT / "src" / "comal").rglob("__init__.py"))
)
def test_every_package_folder_is_in_the_picture(path: str) -> None:
    assert path in pictured()


def paths_in_words() -> list[str]:
    """Folders and files in backticks, outside of the picture."""
    words = PAGE.replace(PICTURE, "")
    return sorted(set(re.findall(r"`([\w./]+(?:/|\.py|\.toml|\.md))`", words)))


@pytest.mark.parametrize("path", paths_in_words())
def test_what_is_named_beside_the_picture_exists(path: str) -> None:
    assert (ROOT / path).exists() or (ROOT / "src" / "comal" / path).exists()


@pytest.mark.parametrize("package", sorted((ROOT / "src" / "comal").rglob("__init__.py"), key=str))
def test_every_package_says_in_one_line_what_it_is(package: Path) -> None:
    first = package.read_text(encoding="utf-8").partition("\n")[0]
    assert re.match(r'""".+', first), "a folder's first line is its docstring"
