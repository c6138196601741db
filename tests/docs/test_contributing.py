"""What contributors are told to type exists, and hooks and workflow call the Makefile's own targets."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("level", ["0", "1"], ids=["by hand", "within make test"])
def test_help_explains_every_target(level: str) -> None:
    """Within another make it would say in which folder it works, before what was asked for."""
    command = ["make", "--no-print-directory", "help"]
    environment = {**os.environ, "MAKELEVEL": level, "MAKEFLAGS": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    shown = {line.split()[0]: line.split(maxsplit=1)[1] for line in done.stdout.splitlines()}
    assert set(shown) == TARGETS
    assert shown["test"].startswith("lint, types")


def test_hooks_are_targets() -> None:
    (local,) = read(".pre-commit-config.yaml")["repos"]
    assert local["repo"] == "local"
    entries = [hook["entry"] for hook in local["hooks"]]
    assert [re.fullmatch(r"make --silent ([a-z-]+)", entry)[1] for entry in entries] == ["format", "check"]  # type: ignore[index]


def test_the_workflow_runs_targets_on_every_supported_python() -> None:
    job = read(".github/workflows/test.yml")["jobs"]["test"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands[0] == "make test"
    assert {command.removeprefix("make ") for command in commands} <= TARGETS
    promised = [c.rpartition(" :: ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)]
    assert job["strategy"]["matrix"]["python"] == promised
    assert PROJECT["requires-python"] == f">={promised[0]}"


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "ARCHITECTURE.md", "README.md"])
def test_pages_name_targets_and_files_that_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    # In code only: in words, make is a verb.
    assert set(re.findall(r"(?:`|\$ )make ([a-z-]+)", text)) <= TARGETS
    links = re.findall(r"\]\(([\w./-]+)\)", text)
    assert [link for link in links if not (ROOT / link).exists()] == []
    tests = re.findall(r"`(tests/[\w./]*)`", text)
    assert [name for name in tests if not (ROOT / name).exists()] == []


def test_a_wheel_has_what_runs_need_and_a_source_distribution_what_tests_need() -> None:
    """What the build is told, without building: recipes and templates lie in the package, tests beside it."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    assert tool["wheel"]["packages"] == ["src/comal"]
    package = ROOT / "src" / "comal"
    for pattern in ("recipes/*.yaml", "reports/html/templates/*.j2", "py.typed"):
        assert list(package.glob(pattern)), pattern
    for pattern in tool["sdist"]["include"]:
        assert list(ROOT.glob(pattern.removeprefix("/"))), pattern
