"""Modules of one's own: what is installed comes first, then the recipe's folder, then the working folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comal import importing
from comal.errors import ConfigError, JudgeError
from comal.importing import folders_of, load_object, search


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No folder is searched yet, and nothing that a test imports stays."""
    monkeypatch.setattr(importing, "_folders", [])
    monkeypatch.setattr(importing, "_named", set())
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The recipe's folder and the working one."""
    for name in ("recipe", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    search(tmp_path / "recipe")
    return tmp_path / "recipe", tmp_path / "work"


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_recipes_folder_comes_before_the_working_one(folders: tuple[Path, Path]) -> None:
    recipe, work = folders
    write(recipe, "mine_a.py", "where = 'recipe'")
    write(work, "mine_a.py", "where = 'work'")
    write(work, "mine_b.py", "where = 'work'")
    assert load_object("mine_a:where", "judge") == "recipe"
    assert load_object("mine_b:where", "judge") == "work"


def test_what_is_installed_comes_before_both(folders: tuple[Path, Path], tmp_path: Path, monkeypatch: Any) -> None:
    write(tmp_path / "installed", "mine_c.py", "where = 'installed'")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "installed")])
    for folder in folders:
        write(folder, "mine_c.py", "where = 'a folder'")
        write(folder, "json.py", "loads = None")
    assert load_object("mine_c:where", "judge") == "installed"
    assert load_object("json:loads", "judge") is not None
    with pytest.raises(ConfigError, match=r"`mine_c` \(.*installed/mine_c.py\) has no `here`"):
        load_object("mine_c:here", "judge")
    assert sys.path.count(str(folders[0])) == 0


def test_a_named_module_imports_what_lies_beside_it_when_it_runs(folders: tuple[Path, Path]) -> None:
    write(folders[0], "mine_d.py", "def f():\n    import helper_d\n    return helper_d.x\n")
    write(folders[0], "helper_d.py", "x = 7")
    assert load_object("mine_d:f", "judge")() == 7


def test_packages_with_and_without_an_init_are_found(folders: tuple[Path, Path]) -> None:
    write(folders[0], "bare_e/rules.py", "from bare_e.more import x")
    write(folders[0], "bare_e/more.py", "x = 1")
    write(folders[1], "pkg_e/__init__.py", "")
    write(folders[1], "pkg_e/sub/__init__.py", "y = 2")
    assert load_object("bare_e.rules:x", "judge") == 1
    assert load_object("pkg_e.sub:y", "judge") == 2


def test_what_nobody_named_is_not_imported(folders: tuple[Path, Path]) -> None:
    """An optional dependency that is not installed stays so, whatever lies about."""
    write(folders[1], "optional_f.py", "")
    write(folders[0], "mine_f.py", "")
    write(folders[0], "folder_f/notes.txt", "")
    with pytest.raises(ModuleNotFoundError):
        __import__("optional_f")
    with pytest.raises(ConfigError):
        load_object("mine_f:x", "judge")  # its folder is in use now, the working one is not
    for name in ("optional_f", "folder_f"):
        with pytest.raises(ModuleNotFoundError):
            __import__(name)


def test_a_misspelled_module_is_answered_with_the_nearest_and_the_folders(folders: tuple[Path, Path]) -> None:
    write(folders[0], "rules_g.py", "")
    write(folders[0], "pkg_g/judges.py", "")
    with pytest.raises(JudgeError) as caught:
        load_object("rulse_g:better", "python.function", JudgeError)
    assert "python.function: cannot import `rulse_g` of `rulse_g:better`" in str(caught.value)
    assert "Did you mean `rules_g`?" in str(caught.value)
    assert f"Searched were what is installed, and {folders[0]}, {folders[1]}" in str(caught.value)
    with pytest.raises(ConfigError, match=r"Did you mean `pkg_g\.judges`\?"):
        load_object("pkg_g.judge:x", "judge")


def test_what_is_imported_is_not_looked_for_again_and_a_new_file_is_found(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError):
        load_object("mine_k:x", "judge")
    write(folders[0], "mine_k.py", "x = 1")
    assert load_object("mine_k:x", "judge") == 1
    monkeypatch.setattr(importing.importlib, "invalidate_caches", None)
    assert load_object("mine_k:x", "judge") == 1
    assert load_object("comal.errors:ConfigError", "judge") is ConfigError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import not_there_h", r"cannot import `mine_h` of `mine_h:x`: No module named 'not_there_h'$"),
        ("from json import nothing", r"cannot import `mine_h` of `mine_h:x`: cannot import name 'nothing'"),
        ("def", r"the module raised SyntaxError: .*mine_h\.py, line 1"),
        ("1 / 0", r"the module raised ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", r"the module raised SystemExit: 3"),
    ],
)
def test_a_broken_module_is_a_message(folders: tuple[Path, Path], text: str, message: str) -> None:
    write(folders[0], "mine_h.py", text)
    with pytest.raises(ConfigError, match=message):
        load_object("mine_h:x", "judge")


def test_two_recipes_with_different_modules_of_one_name_are_refused(tmp_path: Path) -> None:
    for name, text in (("one", "x = 1"), ("two", "x = 1"), ("three", "x = 3")):
        write(tmp_path / name, "mine_i.py", text)
    search(tmp_path / "one")
    search(tmp_path / "two")
    assert load_object("mine_i:x", "judge") == 1
    search(tmp_path / "three")
    with pytest.raises(ConfigError, match=r"may be in .*one/mine_i\.py or in .*three/mine_i\.py, which differ"):
        load_object("mine_i:x", "judge")


def test_the_folders_of_what_values_name(folders: tuple[Path, Path]) -> None:
    write(folders[0], "mine_j.py", "x = 1")
    write(folders[1], "pkg_j/rules.py", "x = 1")
    values = {"judge": {"members": [{"function": "mine_j:x"}]}, "model": "llama3:latest", "classes": "json:loads"}
    assert folders_of(values) == [], "nothing is imported yet"
    load_object("mine_j:x", "judge")
    load_object("pkg_j.rules:x", "judge")
    assert folders_of(values) == [folders[0]]
    assert folders_of([values, "pkg_j.rules:x"]) == list(folders)
