"""One process or many: the same run."""

from __future__ import annotations

import importlib.util
import json
import math
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import forked
import tiny_run
from comal.pipeline.disk.files import read_json, read_table

SUPPORT = Path(forked.__file__).parent
SMOOTH = {"adam_epsilon": 1e-3}
"""Adam's first steps are signs of gradients, also of those that are nothing but rounding; not with this."""


def recipe(folder: Path) -> dict[str, Any]:
    """6 of 8 prompts are trained on in steps of 4 and of 2: two processes share each, four have one prompt or none."""
    values = tiny_run.values(folder, steps=2)
    values["supervised"] |= {"arguments": SMOOTH}
    values["supervised"]["data"]["limit"] = 250  # 7 batches of 32, and one of 26
    values["training"] |= {"prompts_per_batch": 2, "gradient_accumulation": 2, "arguments": SMOOTH, "loss": "group"}
    return values


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run in one process, beside its recipe."""
    folder = tmp_path_factory.mktemp("alone")
    path = tiny_run.write(folder, recipe(folder / "data"))
    done = forked.call(tiny_run.command(path, folder / "run"))
    assert done.returncode == 0, done.stderr
    return folder / "run"


def journal(run: Path) -> list[dict[str, Any]]:
    lines = (run / "comal" / "journal.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def assert_same_figures(one: Any, other: Any, place: str = "") -> None:
    """To 1e-5 for all numbers but times; the gap at the start is rounding itself."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), place
        for key in one.keys() - {"seconds"}:
            assert_same_figures(one[key], other[key], f"{place}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), place
        for i, pair in enumerate(zip(one, other, strict=True)):
            assert_same_figures(*pair, f"{place}[{i}]")
    elif isinstance(one, float):
        assert math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-5), f"{place}: {one} {other}"
    else:
        assert one == other, place


def assert_same_run(one: Path, other: Path) -> None:
    entries = journal(one)
    assert [e["metrics"]["optimizer_steps"] for e in entries if "loss" in e["metrics"]] == [2, 2]
    moved = [e["metrics"]["kl_moved"] for e in entries if "loss" in e["metrics"]]
    assert min(moved) > 1e-4, "the steps did something"
    assert_same_figures(entries, journal(other))
    for step in ("00000", "00001"):
        first, second = (run / "comal" / "steps" / step for run in (one, other))
        samples = [read_table(folder / "samples.parquet")["token_ids"] for folder in (first, second)]
        assert samples[0] == samples[1]
        assert_same_figures(*(read_json(folder / "trained.json") for folder in (first, second)))
    assert_same_figures(*(read_json(run / "result.json")["policies"] for run in (one, other)))


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_many_processes_take_the_steps_of_one(alone: Path, tmp_path: Path, count: int) -> None:
    path = alone.parent / "recipe.yaml"
    ranks = forked.call_ranks(count, tiny_run.command(path, tmp_path / "run", "--json"))
    assert [rank.returncode for rank in ranks] == [0] * count, [rank.stderr[-2000:] for rank in ranks]
    main, *others = ranks
    in_each = "2 in each" if count == 2 else "1 in each"
    assert f"{count} processes: an optimiser step takes 4 prompts, {in_each}\n" in main.stderr
    assert json.loads(main.stdout) == read_json(tmp_path / "run" / "result.json")
    assert not any(rank.stdout for rank in others), "printed once, by the main process"
    assert_same_run(alone, tmp_path / "run")


@pytest.mark.parametrize("part", ["training", pytest.param("supervised", marks=pytest.mark.slow)])
def test_shards_take_the_steps_of_one_process(alone: Path, tmp_path: Path, part: str) -> None:
    """FSDP2 by gloo: a model in shards, or the run ends with an error (`require_sharded`); its optimiser goes on."""
    path = alone.parent / "recipe.yaml"
    command = tiny_run.command(path, tmp_path / "run", "--set", f"{part}.arguments.fsdp=true")
    ranks = forked.call_ranks(2, [sys.executable, str(SUPPORT / "tell_shards.py"), *command[3:]])
    assert [rank.returncode for rank in ranks] == [0, 0], [rank.stderr[-2000:] for rank in ranks]
    assert_same_run(alone, tmp_path / "run")
    if part == "training":
        shards = sorted((tmp_path / "run" / "comal" / "steps" / "00001" / "optimizer").glob("*.distcp"))
        assert len(shards) == 2, "each process has written its own"
    begun = 2 if part == "training" else 0
    assert [rank.stderr.count("trains with 0.5") for rank in ranks] == [begun] * 2, "no process had a whole model"
    # Each of two steps: the policy (the second time also the reference), and the trained one. The look and the final
    # evaluation: the policy and the start.
    opened = 2 + 3 + 2 + 2 if part == "training" else 0
    assert [rank.stderr.count("scores with 0.5") for rank in ranks] == [opened] * 2
    assert [rank.stderr.count("scores with ") for rank in ranks] == [opened] * 2


ZERO_3 = {
    "zero_optimization": {
        "stage": 3, "stage3_gather_16bit_weights_on_model_save": True, "stage3_param_persistence_threshold": 0,
    },
    "zero_allow_untested_optimizer": True,
    "train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto", "gradient_clipping": "auto",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None,
    reason="needs deepspeed: on two GPUs, or on CPUs past Accelerate, which leaves it out there",
)
def test_zero_3_takes_the_steps_of_one_process(tmp_path: Path) -> None:
    """Of two processes each trains half of the weights; `require_sharded` ends a run in which DeepSpeed is left out."""
    values = recipe(tmp_path / "data")
    values["training"]["keep_optimizer"] = False
    path = tiny_run.write(tmp_path, values)
    gpus = torch.cuda.device_count() >= 2
    where = {"ACCELERATE_USE_CPU": "false"} if gpus else {"ACCELERATE_USE_CPU": "true", "DS_ACCELERATOR": "cpu"}
    environment = tiny_run.environment() | where
    done = forked.call(tiny_run.command(path, tmp_path / "one"), environment=environment)
    assert done.returncode == 0, done.stderr
    settings = tmp_path / "zero-3.json"
    settings.write_text(json.dumps(ZERO_3))
    command = tiny_run.command(path, tmp_path / "two", "--set", f"training.arguments.deepspeed={settings}")
    if not gpus:
        command = [sys.executable, str(SUPPORT / "zero_on_cpus.py"), *command[3:]]
    ranks = forked.call_ranks(2, command, environment=environment)
    assert [rank.returncode for rank in ranks] == [0, 0], [rank.stderr[-2000:] for rank in ranks]
    if not gpus:
        assert all(rank.stderr.count("trains 0.50 of it") == 2 for rank in ranks)
    assert_same_run(tmp_path / "one", tmp_path / "two")


def test_a_run_goes_on_in_another_number_of_processes(alone: Path, tmp_path: Path) -> None:
    """Begun by two processes, which are stopped after a step, and ended by one."""
    path = alone.parent / "recipe.yaml"
    ranks = forked.call_ranks(2, tiny_run.command(path, tmp_path / "run", "--set", "steps=1"))
    assert [rank.returncode for rank in ranks] == [0, 0], ranks[0].stderr[-2000:]
    done = forked.call(tiny_run.command(path, tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert_same_run(alone, tmp_path / "run")


@pytest.mark.slow
def test_a_run_of_before_keeps_batches_of_each_process(alone: Path, tmp_path: Path) -> None:
    """Two steps of 4 and 2 prompts become one of twice 3: Accelerate's own loader, four prompts in each process."""
    command = tiny_run.command(alone.parent / "recipe.yaml", tmp_path / "run")
    assert [rank.returncode for rank in forked.call_ranks(2, [*command, "--set", "steps=1"])] == [0, 0]
    (tmp_path / "run" / "data" / "batches.json").unlink()  # which an older comal did not write
    ranks = forked.call_ranks(2, command)
    assert [rank.returncode for rank in ranks] == [0, 0], ranks[0].stderr[-2000:]
    assert "2 processes: an optimiser step takes 4 prompts of each, 8 in all\n" in ranks[0].stderr
    assert [e["metrics"]["optimizer_steps"] for e in journal(tmp_path / "run") if "loss" in e["metrics"]] == [2, 1]
    refused = forked.call([*command, "--set", "steps=3"])
    assert refused.returncode == 2
    assert "this run was trained in 2 processes, and this is 1" in refused.stderr


def test_a_batch_that_cannot_be_shared_evenly_is_one_message(tmp_path: Path) -> None:
    values = recipe(tmp_path / "data")
    path = tiny_run.write(tmp_path, values)
    said = r"error: training.prompts_per_batch: an optimiser step takes 4 rows (2 × 2), which 3 processes cannot share"
    for rank in forked.call_ranks(3, tiny_run.command(path, tmp_path / "run")):
        assert rank.returncode == 2 or rank.returncode < 0, "all refuse it; one may have been ended first"
        if rank.returncode == 2:
            assert said in rank.stderr
            assert "Traceback" not in rank.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_torchrun_starts_processes_that_know_of_each_other(alone: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = forked.call(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(port),
            str(SUPPORT / "tell_world_size.py"),
            *tiny_run.command(alone.parent / "recipe.yaml", tmp_path / "run", "--json")[3:],
        ],
        environment=tiny_run.environment() | {"ACCELERATE_USE_CPU": "true"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("world size 2") == 2
    assert json.loads(done.stdout) == read_json(tmp_path / "run" / "result.json")
    assert_same_run(alone, tmp_path / "run")
