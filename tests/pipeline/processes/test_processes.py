"""One process or many: the same run."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import numpy as np
import pytest

import forked
import tiny_run
from comal.pipeline.disk.files import read_json, read_table


def test_two_processes_by_torchrun_do_what_one_does(tmp_path: Path) -> None:
    """8 prompts a step, half of them kept for monitoring, and 4 a training step: 2 processes × 2 = 1 process × 4."""
    recipe = tiny_run.values(tmp_path / "data", steps=2)
    recipe["sampling"]["prompts"] = 8
    recipe["training"] |= {"monitor": 0.5, "prompts_per_batch": 4}
    one = tiny_run.write(tmp_path, recipe, "one.yaml")
    recipe["training"]["prompts_per_batch"] = 2
    recipe["supervised"]["batch_size"] = 16
    two = tiny_run.write(tmp_path, recipe, "two.yaml")
    assert forked.call(tiny_run.command(one, tmp_path / "one")).returncode == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = forked.call(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(port),
            str(Path(__file__).parents[2] / "support" / "tell_world_size.py"),
            *tiny_run.command(two, tmp_path / "two", "--json")[3:],
        ],
        environment=tiny_run.environment() | {"ACCELERATE_USE_CPU": "true"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("world size 2") == 2
    said = "2 processes: an optimiser step takes 2 prompts of each, 4 in all, as one process with "
    assert done.stderr.count(f"{said}training.prompts_per_batch=4 does") == 1, (
        "the batch is each process's own, and that is said"
    )
    assert json.loads(done.stdout) == read_json(tmp_path / "two" / "result.json"), "printed once, by the main process"
    steps = [tmp_path / name / "comal" / "steps" for name in ("one", "two")]
    for step in ("00000", "00001"):
        first, second = (read_table(s / step / "samples.parquet") for s in steps)
        assert first["token_ids"] == second["token_ids"]
        first, second = (read_table(s / step / "targets.parquet") for s in steps)
        assert np.allclose(first["policy_logp"], second["policy_logp"], atol=1e-4)
        trained = [read_json(s / step / "trained.json") for s in steps]
        assert np.allclose(*(t["held_out_logp"] for t in trained), atol=1e-4)
        assert trained[0]["optimizer_steps"] == trained[1]["optimizer_steps"] == 1
        assert trained[0]["loss"] == pytest.approx(trained[1]["loss"], rel=1e-4)
    results = [read_json(tmp_path / name / "result.json") for name in ("one", "two")]
    assert results[0]["policies"]["comal"]["win_rate"] == results[1]["policies"]["comal"]["win_rate"]
