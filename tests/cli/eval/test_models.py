"""`comal eval` of models that draw their own answers, also after a kill."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import forked
import tiny_models
import tiny_run
from command_line import refused
from toy_eval import comal, outputs

KILLER = """
import os, signal
def f(x, a, b):
    with open({log!r}, "a") as file:
        print(repr((x, a, b)), file=file)
    if "KILL" in os.environ and sum(1 for _ in open({log!r})) > int(os.environ["KILL"]):
        os.kill(os.getpid(), signal.SIGKILL)
    return .5 + .4 * (len(a) > len(b)) - .4 * (len(a) < len(b))
"""


def test_a_killed_evaluation_continues_without_asking_or_sampling_again(tmp_path: Path, monkeypatch) -> None:
    log = tmp_path / "asked.log"
    (tmp_path / "killer.py").write_text(KILLER.format(log=str(log)))
    model = tiny_models.save_causal_lm(tmp_path / "model")
    prompts = [f"What is {i}?" for i in range(40)]
    files = [outputs(tmp_path, name, {x: name * (1 + i % 5) for i, x in enumerate(prompts)}) for name in ("a", "bb")]
    judge = "{name: python, function: 'killer:f', expensive: true}"
    arguments = [*files, model, "--judge", judge, "--draws", 40, "--max-new-tokens", 4, "--json"]
    command = [sys.executable, "-m", "comal", "eval", *map(str, arguments), "--output-dir", str(tmp_path / "out")]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = tiny_run.environment() | {"PYTHONPATH": path, "KILL": "100"}
    killed = forked.call(command, environment=environment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    asked_before = log.read_text().splitlines()
    assert len(asked_before) == 101, "80 of the first pair, and 21 of the second, whose chunk was not finished"
    samples = sorted((tmp_path / "out" / "samples").rglob("*.parquet"))
    assert len(samples) == 2, "40 prompts in blocks of 32"
    times = [p.stat().st_mtime_ns for p in samples]

    monkeypatch.syspath_prepend(str(tmp_path))
    log.unlink()
    resumed = comal(*arguments, "--output-dir", tmp_path / "out")
    assert resumed.exit_code == 0, resumed.output
    assert [p.stat().st_mtime_ns for p in samples] == times, "nothing was sampled again"
    asked_after = log.read_text().splitlines()
    assert not set(asked_after) & set(asked_before[:80]), "no kept verdict was asked for again"
    assert "80 verdicts were kept from before" in resumed.stderr
    log.unlink()
    again = comal(*arguments, "--output-dir", tmp_path / "out")
    assert again.stdout == resumed.stdout
    assert not log.exists(), "everything was there"
    whole = comal(*arguments, "--output-dir", tmp_path / "whole")
    assert whole.stdout == resumed.stdout, "as if never killed"


def test_models_need_prompts_and_draw_their_own_answers(tmp_path: Path) -> None:
    models = [tiny_models.save_causal_lm(tmp_path / name, seed=seed) for seed, name in enumerate(("one", "two"))]
    judge = ["--judge", "{name: python, function: 'judge_functions:longer', symmetric: true}"]
    refused(comal(*models, *judge, "--output-dir", tmp_path / "o"), "--prompts: models need prompts")
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"q": f"Say {i}"}) + "\n" for i in range(6)))
    options = ["--prompts", tmp_path / "prompts.jsonl", "--prompt-column", "q", "--max-new-tokens", 4, "--answers", 2]
    common = [*judge, *options, "--draws", 20, "--json", "--output-dir", tmp_path / "o"]
    found = comal(*models, f"copy={models[0]}", *common, "--reference", models[0])
    assert found.exit_code == 0, found.output
    result = json.loads(found.stdout)
    policies = result["policies"]
    assert policies["one"]["lengths"]["answers"] == 12
    assert policies["one"]["kl_reference"]["value"] == 0
    assert policies["two"]["kl_reference"]["reference"] == "one"
    assert policies["two"]["kl_reference"]["low"] < policies["two"]["kl_reference"]["high"]
    assert 0 <= policies["one"]["unfinished"] <= 1
    texts = {name: (tmp_path / "o" / "outputs" / f"{name}.json").read_text() for name in policies}
    assert texts["one"].replace('"one"', "") == texts["copy"].replace('"copy"', ""), (
        "one model, other name: kept answers"
    )
    tempered = comal(*models, *common, "--temperature", 0.5, "--reference", models[0])
    assert json.loads(tempered.stdout)["policies"]["two"]["kl_reference"] is None
    assert "no KL of two" in tempered.stderr
