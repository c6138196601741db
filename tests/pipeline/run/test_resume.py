"""Runs that are killed, typed again, typed twice at once, or given another configuration; all by the command line."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

import forked
import tiny_run
from comal.pipeline.disk.files import read_json
from comal.pipeline.disk.layout import HomeFolder
from comal.pipeline.run.run import Run
from comal.recipes.load import load_recipe
from waiting import LIMIT, wait_until

TESTS = Path(__file__).parents[2] / "support"


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run beside its recipe, `recipe.yaml`."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    recipe = tiny_run.write(folder, tiny_run.values(folder / "data"))
    done = forked.call(tiny_run.command(recipe, folder / "run", "--json"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == read_json(folder / "run" / "result.json"), "stdout is the result and nothing else"
    assert "report" not in done.stdout
    return folder / "run"


def test_killed_at_every_kind_of_moment_the_result_is_that_of_an_uninterrupted_run(
    tmp_path: Path, uninterrupted: Path
) -> None:
    command = ["run", str(uninterrupted.parent / "recipe.yaml"), "--output-dir", str(tmp_path / "run")]
    driver = [sys.executable, str(TESTS / "kill_everywhere.py"), str(tmp_path / "run")]
    done = forked.call([*driver, *command], timeout=10 * LIMIT)  # dozens of runs
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["codes"] == [-signal.SIGKILL] * len(found["moments"]) + [0], (tmp_path / "run.log").read_text()
    assert {
        "write run.json", "stage supervised", "inside SupervisedTrainer", "half-way SupervisedTrainer",
        "write a checkpoint of the supervised stage", "write whole.json", "write supervised/config.json",
        "stage sample", "stage judge", "stage score", "stage train", "inside ProxTrainer", "write optimizer.pt",
        "write checkpoint/model.safetensors", "write trained.json", "stage measure", "journal ProxStep",
        "journaled ProxStep", "journaled Copy", "stage evaluate", "stage final evaluation", "write result.json",
        "write model/model.safetensors",
    } <= set(found["moments"])  # fmt: skip
    assert found["rewritten"] == [], "what was journaled is not computed again"
    assert (tmp_path / "run/result.json").read_bytes() == (uninterrupted / "result.json").read_bytes()
    for name in ("model.safetensors", "supervised.json"):
        assert (tmp_path / "run/supervised" / name).read_bytes() == (uninterrupted / "supervised" / name).read_bytes()
    assert not list((tmp_path / "run").rglob(".*.tmp-*"))
    assert not HomeFolder(tmp_path / "run").supervised.state.exists()


def test_methods_side_by_side_survive_the_kill_of_their_parent(tmp_path: Path, uninterrupted: Path) -> None:
    values = tiny_run.values(uninterrupted.parent / "data", baselines={"self-play": {"name": "mwu", "eta": 2.0}})
    beside, folder = tiny_run.write(tmp_path, values | {"processes": 2}), tmp_path / "run"
    parent = forked.start(tiny_run.command(beside, folder), tmp_path / "log", own_session=True)
    wait_until(lambda: any(p.stat().st_size for p in folder.glob("*/journal.jsonl")), "a journaled step")
    workers = psutil.Process(parent.pid).children()
    assert len(workers) == 2
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not any(alive(w) for w in workers), "the end of the orphans")
    assert not (folder / "result.json").exists()
    done = forked.call(tiny_run.command(beside, folder), fork_workers=True)
    assert done.returncode == 0, done.stderr
    assert read_json(folder / "result.json")["methods"] == ["comal", "self-play"]
    alone = sorted(p.relative_to(uninterrupted) for p in uninterrupted.glob("comal/*/**/*.parquet"))
    assert len(alone) > 8
    for path in [*alone, "comal/looks/00004.json", "comal/steps/00003/trained.json"]:
        assert (folder / path).read_bytes() == (uninterrupted / path).read_bytes(), path


def test_a_second_run_on_the_folder_waits_a_little_and_is_refused(tmp_path: Path) -> None:
    recipe = tiny_run.write(tmp_path, tiny_run.values(tmp_path / "data"))
    with Run(tmp_path / "run", load_recipe(str(recipe))):
        second = forked.call(tiny_run.command(recipe, tmp_path / "run"))
    assert second.returncode == 2
    assert f"error: {tmp_path / 'run'}: another process is working in this folder" in second.stderr
    assert "Traceback" not in second.stderr
    assert not (tmp_path / "run" / "data").exists()


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
