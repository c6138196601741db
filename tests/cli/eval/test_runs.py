"""`comal eval` of the policies of a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import command_line
import tiny_run
from comal.policies.base import Prompt
from command_line import refused
from toy_eval import LONGER, comal


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished tiny run."""
    folder = tmp_path_factory.mktemp("run")
    recipe = tiny_run.write(folder, tiny_run.values(folder / "data"))
    done = command_line.comal("run", recipe, "--output-dir", folder / "run")
    assert done.exit_code == 0, done.output
    return folder / "run"


def test_the_policies_of_a_run_play_on_its_test_prompts(run: Path, tmp_path: Path) -> None:
    from comal.pipeline.crossplay.sources import find_model
    from comal.pipeline.disk.layout import RunFolder
    from comal.pipeline.run.resources import open_store
    from comal.pipeline.step.samples import Samples, score

    common = ["--judge", run, "--draws", 20, "--answers", 3, "--json"]
    outcome = comal(run, f"{run}:comal@2", *common, "--output-dir", tmp_path / "o")
    assert outcome.exit_code == 0, outcome.output
    found = json.loads(outcome.stdout)
    assert list(found["policies"]) == ["start", "comal", "comal@2"]
    assert found["num_prompts"] == 2
    assert "was trained on this very judge" in outcome.stderr
    assert found["policies"]["start"]["kl_reference"]["value"] == 0
    (folder,) = (p for p in (tmp_path / "o" / "samples").iterdir() if p.name.startswith("comal-"))
    store = open_store(run, RunFolder(run).recipe())
    prompts = [
        Prompt.of_text(row["instruction"]) for row in json.loads((tmp_path / "o/outputs/comal.json").read_text())[::3]
    ]
    samples = Samples.load(folder / "000000.parquet", prompts)
    policy = find_model(f"{run}/comal", "x").checkpoint
    ratio = score(store.open(policy), samples) - score(store.open(run / "supervised"), samples)
    assert found["policies"]["comal"]["kl_reference"]["value"] == pytest.approx(ratio.mean(), abs=1e-6)
    same = comal(f"first={run}/start", f"{run}/comal", *common, "--output-dir", tmp_path / "p")
    assert list(json.loads(same.stdout)["policies"]) == ["first", "comal"]


def test_a_runs_policies_are_there_without_the_judge_it_was_trained_on(run: Path, tmp_path: Path) -> None:
    """The judge's module has gone since the run: another judge compares the same weights."""
    from comal.pipeline.crossplay.sources import find_model
    from comal.pipeline.disk.layout import RunFolder
    from comal.pipeline.run.resources import open_store

    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    written = json.loads((moved / "run.json").read_text())
    written["recipe"]["judge"] = {"name": "judge_that_has_gone:Critic", "strictness": 2}
    written["recipe"]["evaluation"]["judge"] = {"name": "judge_that_has_gone:Critic"}
    (moved / "run.json").write_text(json.dumps(written))
    other = ["--judge", LONGER, "--draws", 20, "--json"]
    outcome = comal(moved, *other, "--output-dir", tmp_path / "o")
    assert outcome.exit_code == 0, outcome.output
    assert list(json.loads(outcome.stdout)["policies"]) == ["start", "comal"]
    assert "was trained on this judge is not known" in outcome.stderr
    assert "cannot import `judge_that_has_gone`" in outcome.stderr
    prompts = [Prompt.of_text("a"), Prompt.of_text("b")]
    opened = []
    for folder in (run, moved):
        policy = open_store(folder, RunFolder(folder).recipe()).open(find_model(f"{folder}/comal", "x").checkpoint)
        answer = tuple(policy.tokenizer("c", add_special_tokens=False)["input_ids"])
        opened.append(policy.score_groups([(policy.encoder(p), [answer]) for p in prompts]))
    np.testing.assert_array_equal(opened[0], opened[1])
    refused(comal(moved, "--judge", moved, "--output-dir", tmp_path / "p"), "cannot import `judge_that_has_gone`")


def test_policies_that_a_run_has_not(run: Path, tmp_path: Path) -> None:
    common = ["--judge", run, "--output-dir", tmp_path / "o"]
    refused(comal(run, f"{run}/comel", *common), "the run has no method `comel`. Did you mean `comal`?")
    refused(comal(run, f"{run}:comal@3", *common), "no policy was kept after `3` steps of comal; kept: @2, @4")
    refused(comal(run, *common, "--reference", "x.json"), "there is no such file")


def test_options_that_touch_no_policy_of_a_run_are_refused(run: Path, tmp_path: Path) -> None:
    command = [run, "--judge", run, "--output-dir", tmp_path / "o"]
    refused(comal(*command, "--system-prompt", "Be brief."), "--system-prompt: is for models outside runs")
    refused(comal(*command, "--intersection"), "--intersection: is for output files; these policies are models")
    refused(comal(*command, "--allow-empty"), "--allow-empty: is for output files")
    assert not (tmp_path / "o").exists()


def test_a_broken_run_is_one_message(tmp_path: Path) -> None:
    for number, content in enumerate(("{", "{}", '{"recipe": {"name": 3}}')):
        broken = tmp_path / str(number)
        broken.mkdir()
        (broken / "run.json").write_text(content)
        refused(comal(broken, "--judge", LONGER), "run.json: this file of the run cannot be read")
        refused(comal("a.json", "b.json", "--judge", broken), "run.json: this file of the run cannot be read")


def test_training_prompts_are_told(run: Path, tmp_path: Path) -> None:
    source = tmp_path / "prompts.jsonl"
    source.write_text('{"prompt": "game 1"}\n{"prompt": "held out 2"}\n')
    found = comal(run, "--judge", run, "--prompts", source, "--draws", 20, "--output-dir", tmp_path / "o")
    assert "trained or watched on 1 of the 2 prompts" in found.stderr
