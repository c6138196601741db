"""The page about extending: its package runs under COMAL as the page says, exactly and on a language model."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import forked
import tiny_run
from waiting import LIMIT

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
BLOCKS = dict(re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', PAGE.read_text("utf-8"), re.DOTALL))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for title, code in BLOCKS.items():
        path = tmp_path / title
        path.parent.mkdir(exist_ok=True)
        path.write_text(code, encoding="utf-8")
    (tmp_path / "mypkg" / "__init__.py").touch()
    return tmp_path


def call(arguments: list[str], package: Path) -> subprocess.CompletedProcess[str]:
    environment = _environment(package)
    return subprocess.run(
        arguments, capture_output=True, text=True, timeout=LIMIT, env=environment, cwd=package, check=False
    )


def _environment(package: Path) -> dict[str, str]:
    return tiny_run.environment() | {"PYTHONPATH": str(package)}


def test_the_page_has_a_package() -> None:
    assert sorted(BLOCKS) == ["exact.py", "mine.yaml", "mypkg/algorithms.py", "mypkg/judges.py", "mypkg/losses.py"]


def test_an_outside_algorithm_solves_a_game_under_comal(package: Path) -> None:
    done = call([sys.executable, "exact.py"], package)
    assert done.returncode == 0, done.stderr
    policy, gap = re.fullmatch(r"\[(.*)\] (\S+)\n", done.stdout, re.DOTALL).groups()
    np.testing.assert_allclose(np.fromstring(policy, sep=" "), np.array([4, 3, 4]) / 11, atol=1e-4)
    assert 0 <= float(gap) <= 1e-6


def test_an_outside_algorithm_loss_and_judge_run_on_a_model(package: Path) -> None:
    recipe = tiny_run.values(package / "data")
    mine = yaml.safe_load(BLOCKS["mine.yaml"])
    recipe |= {"judge": mine["judge"], "algorithm": mine["algorithm"]}
    recipe["training"] |= mine["training"]
    path = tiny_run.write(package, recipe)
    command = tiny_run.command(path, package / "run", "--json")
    done = forked.call(command, environment=_environment(package), folder=package)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["methods"] == ["comal"]
    outs = [
        json.loads(line)["instruction"]["out"]
        for line in (package / "run/comal/journal.jsonl").read_text("utf-8").splitlines()
    ]
    assert outs[:4] == ["ahead", "policy", "ahead", "policy"]


def test_an_option_that_the_outside_judge_does_not_have_is_refused_with_the_nearest(package: Path) -> None:
    recipe = tiny_run.values(package / "data") | {"judge": {"name": "mypkg.judges:Circle", "strenght": 0.8}}
    command = tiny_run.command(tiny_run.write(package, recipe), package / "run")
    done = forked.call(command, environment=_environment(package), folder=package)
    assert done.returncode == 2
    assert "Did you mean `strength`?" in done.stderr


def test_every_block_is_whole_python_or_yaml() -> None:
    for title, code in BLOCKS.items():
        _ = ast.parse(code) if title.endswith(".py") else yaml.safe_load(code)
