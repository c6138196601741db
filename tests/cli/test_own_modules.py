"""A judge, an algorithm, a loss and classes in files of one's own, beside the recipe or in the working folder.

All by the command line, in processes whose `PYTHONPATH` does not lead there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import forked
import tiny_run
from comal.pipeline.disk.files import read_json
from waiting import LIMIT

MINE = '''
from comal.algorithms.inpo import INPO
from comal.judges.base import Judge
from comal.losses.group import Group
from dataclasses import dataclass
import helper


@dataclass(frozen=True)
class Shorter(Judge):
    """Prefers what the helper says."""

    @property
    def symmetric(self):
        return True

    def compare(self, comparisons):
        return [helper.better(c.prompt, c.first, c.second) for c in comparisons]


@dataclass(frozen=True)
class Steps(INPO):
    """INPO by another name."""


@dataclass(frozen=True)
class Regression(Group):
    """The group loss by another name."""
'''
HELPER = """
def better(prompt, first, second):
    return 0.5 if first == second else float(first < second) * 0.8 + 0.1


def first_letter(text):
    return text[:1] or "none"
"""
CONSOLE = [sys.executable, "-P", "-c", "import sys; sys.argv[0] = 'comal'; from comal.cli import main; main()"]
"""What the installed `comal` does: unlike `python -m comal`, it does not put the working folder on the path."""


def comal(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return forked.call([*CONSOLE, *map(str, arguments)], folder=cwd, fork_workers=True)


def ok(*arguments: object, cwd: Path) -> str:
    done = comal(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def launched(*arguments: object, cwd: Path) -> str:
    """In a process that has imported nothing, not even the packages that files here are called like."""
    done = tiny_run.call([*CONSOLE, *map(str, arguments)], cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def recipe(folder: Path, **changes: Any) -> Path:
    """A recipe of own modules, in `folder` with its data; its two methods work side by side."""
    values = tiny_run.values(folder / "data", {"name": "mine:Steps", "eta": 2.0, "tau": 0.2}, steps=1)
    values["judge"] = {"name": "mine:Shorter"}
    values["baselines"] = {"other": {"name": "mine:Steps", "eta": 1.0, "tau": 0.1}}
    values["training"]["loss"] = "mine:Regression"
    values["evaluation"] |= {"classes": "helper:first_letter"}
    return tiny_run.write(folder, values | {"processes": 2} | changes)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the modules; a file in it is called as an installed package, and must not take its place."""
    (tmp_path / "project").mkdir()
    (tmp_path / "away").mkdir()
    (tmp_path / "project" / "mine.py").write_text(MINE)
    (tmp_path / "project" / "helper.py").write_text(HELPER)
    (tmp_path / "project" / "datasets.py").write_text("raise RuntimeError('a file of ours instead of a package')\n")
    return tmp_path / "project"


def test_a_recipe_runs_with_the_modules_beside_it_from_anywhere(project: Path, tmp_path: Path) -> None:
    run, path = tmp_path / "away" / "run", recipe(project)
    result = json.loads(launched("run", path, "--output-dir", run, "--json", cwd=tmp_path / "away"))
    assert result["methods"] == ["steps", "other"]
    assert sum(result["policies"]["steps"]["classes"].values()) == pytest.approx(1)
    assert read_json(run / "imports.json") == {"folders": ["../../project"]}
    # What is asked of the run later finds them by the run alone, wherever it is asked.
    ok("audit", run, "--json", cwd=tmp_path)
    assert "Shorter" in Path(ok("report", run, cwd=tmp_path).strip()).read_text()


@pytest.mark.slow
def test_certificates_and_evaluations_of_such_a_run_find_them(project: Path, tmp_path: Path) -> None:
    run = tmp_path / "away" / "run"
    ok("run", recipe(project, baselines={}), "--output-dir", run, cwd=tmp_path / "away")
    ok("eval", run, "--judge", run, "--output-dir", tmp_path / "evaluation", cwd=tmp_path)
    settings = ["steps=1", "every=1", "processes=2", "evaluation.test_prompts=2", "evaluation.validation_prompts=2"]
    ok("certify", run, *(word for s in settings for word in ("--set", s)), cwd=tmp_path)
    assert read_json(run / "certify" / "imports.json") == {"folders": ["../../../project"]}


def test_a_run_of_the_working_folders_modules_goes_on_from_elsewhere(project: Path, tmp_path: Path) -> None:
    """The recipe lies elsewhere; the run remembers the folder. Moved with it, it finds them where both are now."""
    path = recipe(tmp_path / "recipes")
    done = comal("run", path, "--output-dir", "run", "--set", "judge.name=mine:Shorter", cwd=project)
    assert done.returncode == 0, done.stderr
    assert read_json(project / "run" / "imports.json") == {"folders": [".."]}
    expected = (project / "run" / "result.json").read_bytes()
    shutil.move(project, tmp_path / "moved")
    run = tmp_path / "moved" / "run"
    (run / "result.json").unlink()
    shutil.rmtree(run / "other" / "steps")
    (run / "other" / "journal.jsonl").unlink()
    (run / "other" / "final.json").unlink()
    ok("run", path, "--output-dir", run, cwd=tmp_path / "away")
    assert (run / "result.json").read_bytes() == expected


def test_a_judges_file_finds_the_module_beside_it(project: Path, tmp_path: Path) -> None:
    (project / "judge.yaml").write_text(yaml.safe_dump({"name": "python", "function": "helper:better"}))
    for name, answers in (("a", ["x", "y"]), ("b", ["y", "y"])):
        rows = [{"instruction": f"q{i}", "output": text, "generator": name} for i, text in enumerate(answers)]
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    out = ok("audit", "a.json", "b.json", "--judge", project / "judge.yaml", "--json", cwd=tmp_path)
    assert json.loads(out)
    # and of an inline one, in the working folder
    inline = ["--judge", '{name: python, function: "helper:better"}']
    ok("audit", tmp_path / "a.json", tmp_path / "b.json", *inline, "--json", cwd=project)
    done = comal("audit", "a.json", "b.json", *inline, cwd=tmp_path)
    assert done.returncode == 2
    assert "cannot import `helper` of `helper:better`" in done.stderr
    assert str(tmp_path) in done.stderr


@pytest.mark.slow
def test_torchrun_finds_them_in_every_rank(project: Path, tmp_path: Path) -> None:
    path = recipe(project, processes=1, baselines={})
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--rdzv-backend", "c10d",
               "--rdzv-endpoint", "localhost:0", "-m", "comal", "run", str(path), "--output-dir",
               str(tmp_path / "run")]  # fmt: skip
    environment = tiny_run.environment() | {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT, check=False, cwd=tmp_path / "away",
        env=environment | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert read_json(tmp_path / "run" / "imports.json") == {"folders": ["../project"]}
    assert read_json(tmp_path / "run" / "result.json")["methods"] == ["steps"]


def test_a_folder_within_the_run_is_not_searched(project: Path, tmp_path: Path) -> None:
    """A run that somebody sends brings no code along in its own folder."""
    path = recipe(project, processes=1, baselines={})
    ok("run", path, "--output-dir", tmp_path / "run", cwd=tmp_path)
    shutil.copytree(project, tmp_path / "run" / "code", ignore=shutil.ignore_patterns("data"))
    (tmp_path / "run" / "imports.json").write_text('{"folders": ["code"]}')
    done = comal("audit", tmp_path / "run", cwd=tmp_path / "away")
    assert done.returncode == 2
    assert "cannot import `mine`" in done.stderr


def test_a_misspelled_module_names_the_nearest_and_where_it_was_looked_for(project: Path, tmp_path: Path) -> None:
    path = recipe(project, judge={"name": "mein:Shorter"})
    done = comal("plan", path, cwd=tmp_path / "away")
    assert done.returncode == 2
    assert "judge.name: cannot import `mein` of `mein:Shorter`: No module named 'mein'." in done.stderr
    assert "Did you mean `mine`?" in done.stderr
    assert f"{project}, {tmp_path / 'away'}" in done.stderr
