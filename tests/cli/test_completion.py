"""Names after Tab: by the functions, and by the protocol that a shell speaks; torch is never imported for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from comal.cli import completion
from comal.plugins import ALGORITHMS, JUDGES
from comal.recipes.load import recipe_names


def offered(line: str, folder: Path) -> list[str]:
    """What bash is offered for the last word of a line, and for nothing else torch would be loaded."""
    words = line.split(" ")
    code = (
        "import sys\nfrom comal.cli import app\n"
        "try:\n    app(prog_name='comal')\nfinally:\n"
        "    assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ
        | {"_COMAL_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "NO_COLOR": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "AssertionError" not in done.stderr, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("comal run doc", ["docstrings", "docstrings-natural"]),
        ("comal plan qwen2-", ["qwen2-1.5b"]),
        ("comal certify x --recipe sma", ["small-chat"]),
        ("comal solve rock_paper_scissors_", ["rock_paper_scissors_copy"]),
        ("comal solve paper --algorithm comal_", ["comal_sampled"]),
        ("comal eval x --judge reward", ["reward_model"]),
        ("comal audit x --judge doc", ["docstring_style", "docstrings", "docstrings-natural"]),
        ("comal init --judge p", ["python"]),
        ("comal list rec", ["recipes"]),
    ],
)
def test_bash_is_offered_names(tmp_path: Path, line: str, expected: list[str]) -> None:
    assert offered(line, tmp_path) == expected


def test_every_name_is_offered_for_an_empty_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert completion.recipes("") == recipe_names()
    assert completion.algorithms("") == ALGORITHMS.names()
    assert set(completion.judges("")) == {*JUDGES.names(), *recipe_names()}
    assert "paper" in completion.games("")
    assert completion.recipes("no such") == []


def test_files_of_the_right_kind_and_folders_are_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for name in ("mine.yaml", "mine.csv", "mine.json", "mine.txt", ".mine.yaml", "sub/mine.yml"):
        (tmp_path / name).touch()
    assert completion.recipes("mi") == ["mine.yaml"]
    assert completion.recipes("su") == ["sub/"]
    assert completion.recipes("sub/") == ["sub/mine.yml"]
    assert completion.recipes(f"{tmp_path}/mi") == [f"{tmp_path}/mine.yaml"]
    assert completion.games("mi") == ["mine.csv", "mine.json"]
    assert completion.judges("mi") == ["mine.json", "mine.yaml"]
    assert completion.recipes("nowhere/mi") == []
