"""A run with LoRA: what it leaves, what can be done with it, and an evaluation by two processes under torchrun."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import tiny_models
import tiny_run
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.disk.progress import FileProgress
from comal.pipeline.run.resources import open_store
from comal.pipeline.run.start import prepare_start
from comal.pipeline.step.samples import Samples, score
from comal.policies import merging
from comal.policies.transformers import TransformersPolicy
from comal.recipes.load import load_recipe
from command_line import comal, refused

JUDGE = {"name": "rules", "rules": [{"measure": "characters", "prefer": "less"}]}
COMMANDS = {
    "eval": ("--judge", "{run}", "--draws", "20", "--answers", "3"),
    "certify": ("--set", "steps=2", "--set", "every=1", "--set", "starts=[start]"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of adapters on a model whose answers have several lengths."""
    folder = tmp_path_factory.mktemp("lora")
    base = tiny_models.save_causal_lm(folder / "base", initializer_range=0.2)
    done = comal("run", recipe(folder, base), "--output-dir", folder / "run")
    assert done.exit_code == 0, done.output
    assert f"model    {folder / 'run' / 'model'}" in done.stderr
    assert f"adapter  {folder / 'run' / 'adapter'}" in done.stderr
    return folder / "run"


def recipe(folder: Path, model: str | Path, lora: bool = True, **changes: Any) -> Path:
    values = tiny_run.values(folder / "data", steps=2, judge=JUDGE) | changes
    del values["supervised"]
    values["policy"] = {"model": str(model), "max_new_tokens": 4} | ({"lora": {"r": 2, "alpha": 4.0}} if lora else {})
    values["training"]["learning_rate"] = 0.05 if lora else 0.001  # far enough for start and end to differ
    return tiny_run.write(folder, values)


def final(run: Path) -> tuple[TransformersPolicy, Samples]:
    """The last policy as it was trained, an adapter beside the base, and its answers to the test prompts."""
    folder = RunFolder(run)
    policy = open_store(run, folder.recipe()).open(folder.method("comal").step("00001").checkpoint)
    return policy, Samples.load(folder.answers("comal"), folder.prompts().test[:2])


def test_a_lora_run_leaves_a_standard_checkpoint_and_its_adapter_beside_it(run: Path) -> None:
    policy, answers = final(run)
    base = open_store(run, RunFolder(run).recipe())
    assert np.abs(score(policy, answers) - score(base.open(base.initial), answers)).max() > 0.1, "it moved"
    assert not (run / "model" / "adapter_config.json").exists()
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    outside = {
        "merged": AutoModelForCausalLM.from_pretrained(run / "model"),
        "adapter": peft.AutoPeftModelForCausalLM.from_pretrained(run / "adapter"),
    }
    for name, model in outside.items():
        for prompt, group in zip(answers.prompts, answers.completions, strict=True):
            ids = tokenizer.apply_chat_template(list(prompt.messages), add_generation_prompt=True)["input_ids"]
            tokens = group[0].token_ids
            with torch.no_grad():
                logp = model.eval()(torch.tensor([[*ids, *tokens]])).logits[0, len(ids) - 1 : -1].log_softmax(-1)
            by_hand = float(logp[range(len(tokens)), tokens].sum())
            ours = policy.log_probs([prompt], [group])[0][0]
            assert by_hand == pytest.approx(ours, abs=1e-3), name


@pytest.mark.parametrize("left", ["model", "adapter", "an adapter alone"])
def test_the_next_run_starts_where_this_one_ended(run: Path, tmp_path: Path, left: str) -> None:
    policy, answers = final(run)
    named = run / left
    if left == "an adapter alone":  # all that runs of earlier versions left; the base's tokenizer holds
        named = tmp_path / "alone"
        shutil.copytree(run / "adapter", named, ignore=shutil.ignore_patterns("*token*", "*.jinja"))
    plan = recipe(tmp_path, named)
    if left == "adapter":
        assert "with LoRA of rank 2" in comal("plan", plan).output
        done = comal("run", plan, "--output-dir", tmp_path / "second", "--set", "steps=1")
        assert done.exit_code == 0, done.output
        looked = json.loads((tmp_path / "second" / "door.json").read_text("utf-8"))
        assert looked["start"]["sampler"]["mean"] < 1e-3
        config = json.loads((tmp_path / "second" / "adapter" / "adapter_config.json").read_text("utf-8"))
        assert config["base_model_name_or_path"] == str(tmp_path / "second" / "start"), "a model that PEFT can load"
        assert (tmp_path / "second" / "model" / "config.json").is_file()
    else:
        (tmp_path / "second").mkdir()
        prepare_start(tmp_path / "second", load_recipe(str(plan)), FileProgress(tmp_path / "progress.json", 1))
    store = open_store(tmp_path / "second", load_recipe(str(plan)))
    start = store.open(store.initial)
    assert np.allclose(score(start, answers), score(policy, answers), atol=1e-3)


def test_a_run_of_an_earlier_version_opens_and_is_extended(run: Path, tmp_path: Path) -> None:
    """Such a run has its adapter where the model belongs, and nothing beside it."""
    old = tmp_path / "run"
    shutil.copytree(run, old)
    shutil.rmtree(old / "model")
    (old / "adapter").rename(old / "model")
    found = one_process("eval", old, tmp_path / "eval")
    assert list(found["policies"]) == ["start", "comal"]
    again = comal("run", recipe(run.parent, run.parent / "base"), "--output-dir", old)
    assert again.exit_code == 0, again.output
    assert load_file(old / "model" / "model.safetensors").keys() == load_file(run / "model/model.safetensors").keys()
    before = load_file(old / "adapter" / "adapter_model.safetensors")
    done = comal("run", recipe(run.parent, run.parent / "base"), "--output-dir", old, "--set", "steps=3")
    assert done.exit_code == 0, done.output
    after = load_file(old / "adapter" / "adapter_model.safetensors")
    assert any(not torch.equal(before[key], after[key]) for key in before), "the adapter of the third step"
    third = load_file(old / "comal" / "steps" / "00002" / "checkpoint" / "adapter_model.safetensors")
    assert all(torch.equal(third[key], after[key]) for key in third)
    merged, former = (load_file(place / "model" / "model.safetensors") for place in (old, run))
    assert any(not torch.equal(merged[key], former[key]) for key in merged)


def test_a_merged_model_that_is_not_the_trained_one_is_no_model(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "model")
    shutil.rmtree(tmp_path / "run" / "adapter")
    base = str(run.parent / "base")
    load = merging.load_causal_lm
    monkeypatch.setattr(merging, "load_causal_lm", lambda _, *options: load(base, *options))
    done = comal("run", recipe(run.parent, base), "--output-dir", tmp_path / "run")
    kept = f"The adapter itself is whole: {tmp_path / 'run' / 'adapter'}"
    refused(done, "loading the merged model again changes log-probabilities by", kept)
    assert not (tmp_path / "run" / "model").exists()
    assert (tmp_path / "run" / "adapter" / "adapter_config.json").is_file()


def words(command: str, run: Path, folder: Path) -> list[str]:
    options = [option.format(run=run) for option in COMMANDS[command]]
    return [command, str(run), *options, "--json", "--output-dir", str(folder)]


def one_process(command: str, run: Path, folder: Path) -> Any:
    done = comal(*words(command, run, folder))
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_policies_of_a_lora_run_play_each_other(run: Path, tmp_path: Path) -> None:
    found = one_process("eval", run, tmp_path)
    assert list(found["policies"]) == ["start", "comal"]
    assert found["policies"]["start"]["kl_reference"]["value"] == 0, "the start is the model without its adapter"
    assert found["policies"]["comal"]["kl_reference"]["value"] != 0, "and the end is not"


def test_a_lora_run_is_certified_by_trained_adapters(run: Path, tmp_path: Path) -> None:
    (certificate,) = one_process("certify", run, tmp_path)["certificates"]
    assert certificate["policy"] == "comal"
    assert "trained exploiter" in {a["kind"] for a in certificate["adversaries"]}
    assert list(tmp_path.rglob("adapter_model.safetensors")), "the exploiter is an adapter, too"


def test_adapters_and_merged_models_outside_their_run_are_evaluated_and_certified(run: Path, tmp_path: Path) -> None:
    for name in ("adapter", "model"):
        shutil.copytree(run / name, tmp_path / name)
    words = ["--prompts", str(run.parent / "data" / "test.jsonl"), "--judge", str(run), "--answers", "2"]
    done = comal("eval", tmp_path / "adapter", tmp_path / "model", *words, "--json", "--output-dir", tmp_path / "eval")
    assert done.exit_code == 0, done.output
    assert list(json.loads(done.stdout)["policies"]) == ["adapter", "model"]
    settings = ["--set", "steps=1", "--set", "every=1", "--set", "starts=[policy]"]
    base = run.parent / "base"
    whole, adapted = recipe(tmp_path / "whole", base, lora=False), recipe(tmp_path / "adapted", base)
    other = recipe(tmp_path / "other", tiny_models.save_causal_lm(tmp_path / "other_base", seed=1))
    for plan in (whole, adapted):
        done = comal("certify", tmp_path / "adapter", "--recipe", plan, *settings, "--output-dir", plan.parent / "out")
        assert done.exit_code == 0, done.output
    for folder, plan, said in (
        ("model", adapted, f"but the recipe's policy.lora trains some; name `{tmp_path / 'adapter'}`"),
        ("adapter", other, f"is an adapter of `{base}`, but the recipe's adapters are of `{tmp_path / 'other_base'}`"),
    ):
        refused(comal("certify", tmp_path / folder, "--recipe", plan, *settings, "--output-dir", tmp_path / "no"), said)


def test_where_an_adapter_says_too_little_the_message_names_its_run(run: Path) -> None:
    for command in ("audit", "certify"):
        refused(comal(command, run / "adapter"), f"its run, `{run}`")


@pytest.mark.slow
def test_an_evaluation_by_two_processes_of_torchrun_finds_what_one_finds(run: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(port)]
    done = tiny_run.call(
        ["env", "ACCELERATE_USE_CPU=true", *launch, "-m", "comal", *words("eval", run, tmp_path / "two")]
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("evaluation folder: ") == 1, "said once, not by every process"
    assert json.loads(done.stdout) == one_process("eval", run, tmp_path / "one")
