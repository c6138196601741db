"""Whole runs whose answers an engine in a process of its own draws: killed and continued, as if never killed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

import forked
import outside_engines
import tiny_models
import tiny_run
from comal.errors import RunError
from comal.pipeline.disk.files import read_json
from comal.pipeline.run.check import refuse_other
from comal.pipeline.run.resolved import resolve
from comal.recipes.load import load_recipe
from command_line import comal, refused
from waiting import wait_until

JUDGE = {"name": "rules", "rules": [{"measure": "characters", "prefer": "less"}]}
ON_REAL = [
    pytest.mark.slow,
    pytest.mark.vllm,
    pytest.mark.skipif(outside_engines.REAL is None, reason="needs a Python with vLLM; `make test-vllm` has one"),
]


def engine(folder: Path, which: str, fault: str = "") -> dict[str, Any]:
    if which == "fake":
        return {"name": "vllm", "python": outside_engines.fake_python(folder, fault)}
    return {"name": "vllm", "python": outside_engines.REAL, "kv_cache_gib": 0.25}


def values(folder: Path, kind: str, **sampling: Any) -> dict[str, Any]:
    """A recipe of whole weights that are trained from scratch, or of adapters."""
    recipe = tiny_run.values(folder / "data")
    if kind == "adapters":
        base = tiny_models.save_causal_lm(folder / "base", initializer_range=0.2)
        recipe |= {"steps": 2, "judge": JUDGE}
        del recipe["supervised"]
        recipe["policy"] = {"model": base, "lora": {"r": 2, "alpha": 4.0}, "max_new_tokens": 4}
        recipe["training"]["learning_rate"] = 0.05
    recipe["sampling"] |= sampling
    return recipe


def run(recipe: Path, folder: Path) -> None:
    done = forked.call(tiny_run.command(recipe, folder))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("which", "kind"),
    [
        ("fake", "whole"),
        pytest.param("fake", "adapters", marks=pytest.mark.slow),
        pytest.param("real", "whole", marks=ON_REAL),
        pytest.param("real", "adapters", marks=ON_REAL),
    ],
)
def test_a_run_whose_engine_and_which_itself_were_killed_equals_one_that_was_not(
    tmp_path: Path, which: str, kind: str
) -> None:
    recipe = tiny_run.write(tmp_path, values(tmp_path, kind, engine=engine(tmp_path, which)))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(recipe, whole)
    said = read_json(whole / "door.json")["start"]["line"]
    assert said.startswith("sampler (vllm ")

    # The engine is killed while the run goes on, then the run itself.
    log = tmp_path / "log"
    first = forked.start(tiny_run.command(recipe, killed), log, own_session=True)
    wait_until(lambda: any(p.stat().st_size for p in killed.glob("comal/journal.jsonl")), "a journaled step")
    (own,) = [p for p in children(first.pid) if "vllm_worker" in " ".join(p.cmdline())]
    own.kill()
    if first.wait() != 0:  # else it had drawn its last answer already
        assert log.read_text().count("error: sampling.engine: vllm cannot") == 1
        assert "killed by SIGKILL" in log.read_text()
        assert f"its log is {killed / 'engine-0.log'}" in log.read_text()
        assert "Traceback" not in log.read_text()
    second = forked.start(tiny_run.command(recipe, killed), log, own_session=True)
    wait_until(
        lambda: (killed / "comal/steps/00001/samples.parquet").exists() or second.process.exitcode == 0, "step 2"
    )
    orphans = children(second.pid)
    os.kill(second.pid, signal.SIGKILL)
    second.wait()
    wait_until(lambda: not any(alive(p) for p in orphans), "the end of the orphans")
    run(recipe, killed)

    assert (killed / "result.json").read_bytes() == (whole / "result.json").read_bytes()
    answers = sorted(p.relative_to(whole) for p in whole.rglob("*.parquet"))
    assert len(answers) > 6
    for path in answers:
        assert (killed / path).read_bytes() == (whole / path).read_bytes(), path


def children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_an_engine_that_dies_once_costs_one_stage_and_draws_in_evaluations_too(tmp_path: Path) -> None:
    fault = f"dies_once=3:{tmp_path / 'count'}"
    recipe = tiny_run.write(tmp_path, values(tmp_path, "adapters", engine=engine(tmp_path, "fake", fault)))
    refused(
        comal("run", recipe, "--output-dir", tmp_path / "run"),
        "sampling.engine: vllm cannot draw", "killed by SIGKILL", f"its log is {tmp_path / 'run' / 'engine-0.log'}",
    )  # fmt: skip
    done = comal("run", recipe, "--output-dir", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert "vllm 0.0.fake" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    options = ["--judge", tmp_path / "run", "--draws", 20, "--answers", 2, "--output-dir", tmp_path / "eval"]
    assert comal("eval", tmp_path / "run", *options).exit_code == 0
    looked = read_json(tmp_path / "eval" / "door.json")
    assert {name: "(vllm 0.0.fake on cpu)" in found["line"] for name, found in looked.items()} == {
        "start": True, "comal": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "fault", "said"),
    [
        ("whole", "stale", "it holds the checkpoint before"),
        ("adapters", "base", "it holds the base weights instead of the adapter"),
        ("adapters", "template", "it is shown the prompts with another begin token before them"),
    ],
)
def test_a_run_stops_before_an_answer_of_another_policy_is_kept(
    tmp_path: Path, kind: str, fault: str, said: str
) -> None:
    recipe = tiny_run.write(tmp_path, values(tmp_path, kind, engine=engine(tmp_path, "fake", fault)))
    refused(
        comal("run", recipe, "--output-dir", tmp_path / "run"), "does not draw from the policy that is scored", said
    )
    begun = 0 if fault == "template" else 1
    assert len(list((tmp_path / "run").rglob("samples.parquet"))) == begun


def test_the_engine_is_part_of_what_a_run_is_and_where_it_lies_is_not(tmp_path: Path) -> None:
    def canonical(**sampling: Any) -> dict[str, Any]:
        recipe = tiny_run.write(tmp_path, tiny_run.values(tmp_path / "data", sampling=sampling))
        return resolve(load_recipe(str(recipe))).canonical()

    old = canonical()
    assert old["sampling"].pop("engine") == {"name": "transformers"}
    refuse_other({"recipe": old}, canonical(), Path("run"))
    with pytest.raises(RunError, match=r"sampling.engine.name was 'transformers', is 'vllm'"):
        refuse_other({"recipe": old}, canonical(engine="vllm"), Path("run"))
    here = {"recipe": canonical(engine={"name": "vllm", "python": "here"})}
    refuse_other(here, canonical(engine={"name": "vllm", "python": "there", "start_timeout": 5}), Path("run"))
    with pytest.raises(RunError, match=r"sampling.engine.tensor_parallel_size was 1, is 2"):
        refuse_other(here, canonical(engine={"name": "vllm", "tensor_parallel_size": 2}), Path("run"))


@pytest.mark.parametrize(
    ("algorithm", "said"),
    [
        ({"name": "nash_md", "eta": 2.0, "tau": 0.2}, "`vllm` draws from one policy, and `nash_md` from a mixture of"),
        ({"name": "online_grpo", "tau": 0.2}, "are trained on answers that their trainer draws itself"),
    ],
)
def test_programs_that_an_engine_cannot_draw_for(tmp_path: Path, algorithm: dict[str, Any], said: str) -> None:
    recipe = values(tmp_path, "whole", engine="vllm")
    recipe["training"] |= {"share_prompt": False}
    path = tiny_run.write(tmp_path, recipe | {"algorithm": algorithm})
    refused(comal("plan", path), "sampling.engine", said)


def test_the_plan_names_the_engine(tmp_path: Path) -> None:
    path = tiny_run.write(tmp_path, values(tmp_path, "whole", engine={"name": "vllm", "tensor_parallel_size": 2}))
    shown = comal("plan", path)
    assert shown.exit_code == 0, shown.output
    assert "vllm, tensor_parallel_size 2" in " ".join(shown.stdout.split())
    plain = json.loads(comal("plan", path, "--json").stdout)
    assert plain["engine"]["name"] == "vllm"
    refused(comal("run", path, "--output-dir", tmp_path / "run"), "has no vLLM; install vLLM there")
