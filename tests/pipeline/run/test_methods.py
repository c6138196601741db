"""Every algorithm that can be sampled runs on a language model; the others are refused before anything is loaded."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import tiny_run
from comal.algorithms.base import Algorithm, Mix, Program, ProxStep, against, only
from comal.errors import ConfigError, RunError
from comal.pipeline.disk.files import read_json, read_table
from comal.pipeline.disk.progress import OrphanedError, journal_entries
from comal.pipeline.disk.result import RunResult
from comal.pipeline.run.resolved import method_names, resolve
from comal.pipeline.run.run import Run, run_method
from comal.pipeline.step.fits import refuse_unsampleable
from comal.recipes.load import validate


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A supervised model that answers with the games' letters."""
    folder = tmp_path_factory.mktemp("base")
    run(folder / "run", tiny_run.values(folder / "data", steps=1))
    return str(folder / "run" / "supervised")


RSPO = {"name": "rspo", "eta": 2.0, "reverse_tau": 0.1, "forward_tau": 0.1}
SLHF = {"name": "slhf", "eta": 2.0, "tau": 0.1, "follower_tau": 0.2}


def run(folder: Path, values: dict[str, Any]) -> RunResult:
    with Run(folder, validate(values)) as started:
        return started.execute()


def recipe(folder: Path, base: str, algorithm: Any, **changes: Any) -> dict[str, Any]:
    values = tiny_run.values(folder / "data", algorithm) | {"policy": {"model": base, "max_new_tokens": 1}}
    return {k: v for k, v in values.items() if k != "supervised"} | changes


@pytest.mark.parametrize(
    ("algorithm", "done"),
    [
        (tiny_run.INPO, ["policy", "policy", "policy", "policy"]),
        ({"name": "mwu", "eta": 2.0}, ["policy"] * 4),
        ({"name": "egpo", "eta": 2.0, "tau": 0.1}, ["half", "policy", "half", "policy"]),
        ({"name": "nash_mirror_prox", "eta": 2.0, "tau": 0.1}, None),
        ({"name": "omwu", "eta": 2.0}, None),
        ({"name": "mpo", "eta": 2.0, "tau": 0.1, "period": 2}, None),
        ({"name": "onpo", "eta": 1.0}, ["base", "base", "policy", "base", "policy"]),
        ({"name": "nash_md", "eta": 2.0, "tau": 0.1}, ["policy"] * 4),
        (SLHF, ["policy"] * 4),
        (tiny_run.COMAL, ["policy", "policy", "reference", "policy", "policy"]),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_a_few_steps_on_a_language_model(tmp_path: Path, base: str, algorithm: dict[str, Any], done: Any) -> None:
    result = run(tmp_path / "run", recipe(tmp_path, base, algorithm))
    name = algorithm["name"]
    entries = journal_entries(tmp_path / "run" / name / "journal.jsonl")
    if done is not None:
        assert [e["instruction"]["out"] for e in entries] == done
    steps = [e["metrics"] for e in entries if e["instruction"]["do"] == "prox"]
    assert len(steps) == 4
    assert all(m["start_gap"] < 1e-4 for m in steps), "log-probs of cached and live policies agree"
    assert result.policies[name].kl_start.mean != 0
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("algorithm", "loss", "pairing"),
    [
        ({"name": "sppo", "eta": 1.0}, "sppo", None),
        ({"name": "iterative_dpo", "eta": 1.0}, "dpo", "random"),
        ({"name": "iterative_ipo", "eta": 1.0}, {"name": "ipo", "length_normalised": True}, "random"),
        (RSPO, "group", None),
        (tiny_run.COMAL, "rebel", "best-worst"),
        (tiny_run.COMAL, {"name": "dro", "value": "partition"}, None),
        (tiny_run.COMAL, "reinforce", None),
        (tiny_run.COMAL, "grpo", None),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else str(value),
)
def test_every_loss_trains_a_language_model(
    tmp_path: Path, base: str, algorithm: dict[str, Any], loss: Any, pairing: str | None
) -> None:
    values = recipe(tmp_path, base, algorithm, steps=2)
    values["training"] |= {"loss": loss} | ({"pairing": pairing} if pairing else {})
    result = run(tmp_path / "run", values)
    assert result.policies[algorithm["name"]].kl_start.mean != 0


@pytest.mark.parametrize(
    ("algorithm", "loss", "pairing", "message"),
    [
        (tiny_run.INPO, "sppo", None, r"`sppo` as set here needs the anchor's probabilities, .* use `group`"),
        (tiny_run.INPO, {"name": "grpo", "kl": "k3"}, None, r"`grpo` as set here needs the anchor's probabilities"),
        (tiny_run.INPO, {"name": "dpo", "length_normalised": True}, "random", r"`dpo` as set here needs the anchor's"),
        ({"name": "iterative_dpo", "eta": 1.0}, "dpo", "best-worst", r"training\.pairing: .*use `pairing: random`"),
        ({"name": "sppo", "eta": 1.0}, "dpo", "random", r"use `loss: sppo`"),
        (RSPO, "sppo", None, r"\(ForwardKLStep\) are what the loss `group`.* use `loss: group`"),
        (RSPO, {"name": "group", "pin_constant": 1.0}, None, r"training\.loss\.pin_constant: got 1, .* leave it at 0"),
        (SLHF, "ipo", "random", r"training\.pairing: `random` draws a label .* rates each against replies"),
    ],
)
def test_a_loss_that_cannot_take_the_step_is_refused_before_a_model_is_loaded(
    tmp_path: Path, base: str, algorithm: Any, loss: Any, pairing: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", None)
    values = recipe(tmp_path, base, algorithm)
    values["training"] |= {"loss": loss} | ({"pairing": pairing} if pairing else {})
    with pytest.raises(ConfigError, match=message):
        run(tmp_path / "run", values)
    assert not (tmp_path / "run").exists()


def test_replies_to_some_answers_only_are_refused(tmp_path: Path, base: str) -> None:
    values = recipe(tmp_path, base, SLHF)
    values["sampling"] |= {"comparisons": 2}
    with pytest.raises(ConfigError, match=r"sampling\.comparisons: `slhf` looks for the best reply .*leave it out"):
        run(tmp_path / "run", values)


def test_replies_to_several_answers_are_refused(tmp_path: Path, base: str) -> None:
    values = recipe(tmp_path, base, SLHF)
    values["judge"] = {"name": "population", "members": [values["judge"]] * 2}
    values["answers_shown"] = 2
    with pytest.raises(ConfigError, match=r"answers_shown: `slhf` looks for the best reply to each answer, not to sev"):
        run(tmp_path / "run", values)


def test_a_leader_is_rated_against_replies_of_the_reference(tmp_path: Path, base: str) -> None:
    """The samples are the policy's own, and each is told its soft minimum over the reference's."""
    run(tmp_path / "run", recipe(tmp_path, base, SLHF, steps=2))
    for step in (tmp_path / "run" / "slhf" / "steps").iterdir():
        targets, verdicts = read_table(step / "targets.parquet"), read_table(step / "verdicts-0.parquet")
        P = np.reshape(verdicts["probability"], (-1, 4))
        expected = -0.2 * np.log(np.exp(-P / 0.2).mean(axis=1))
        np.testing.assert_allclose(targets["win_rate"], expected, rtol=1e-12)
        assert targets["sampler_logp"] == targets["policy_logp"]


@dataclasses.dataclass(frozen=True, slots=True)
class Extrapolating(Algorithm):
    """An opponent with a negative weight."""

    def program(self) -> Program:
        while True:
            yield ProxStep(only("policy"), against(Mix({"policy": 1.5, "reference": -0.5})), 1.0)


def test_an_opponent_with_a_negative_weight_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"opponent extrapolates from policy, reference .*use weights ≥ 0"):
        refuse_unsampleable(Extrapolating(), "algorithm")


def test_nash_md_samples_its_mixture_and_knows_its_probabilities(tmp_path: Path, base: str) -> None:
    """Answers are one token: the sampler's log-probability is the mixture's, up to the constant that normalises it."""
    run(tmp_path / "run", recipe(tmp_path, base, {"name": "nash_md", "eta": 2.0, "tau": 0.2}, steps=2))
    steps = tmp_path / "run" / "nash_md" / "steps"
    first, second = (read_table(steps / step / "targets.parquet") for step in ("00000", "00001"))
    assert first["sampler_logp"] == first["policy_logp"], "policy and reference still are one"
    mixed = [0.4 * r + 0.6 * p for r, p in zip(second["logp_reference"], second["logp_policy"], strict=True)]
    constant = np.reshape(np.subtract(second["sampler_logp"], mixed), (8, 4))
    assert np.ptp(constant, axis=1).max() < 1e-4
    assert constant.min() > 0, "a geometric mean of two policies sums to less than 1"


def test_the_constant_is_pinned_by_the_policy_that_drew_the_samples(tmp_path: Path, base: str) -> None:
    """EGPO's second step trains the policy on samples of the half step."""
    run(tmp_path / "run", recipe(tmp_path, base, {"name": "egpo", "eta": 2.0, "tau": 0.1}))
    steps = tmp_path / "run" / "egpo" / "steps"
    for step, same in (("00000", True), ("00001", False), ("00003", False)):
        targets = read_table(steps / step / "targets.parquet")
        assert (targets["policy_logp"] == targets["sampler_logp"]) == same
        assert targets["policy_logp"] == targets["logp_policy"]


def test_a_rate_that_falls_reaches_the_optimiser(tmp_path: Path, base: str) -> None:
    values = recipe(tmp_path, base, tiny_run.INPO)
    values["training"] |= {"learning_rate": 4e-3, "final_learning_rate": 1e-3, "keep_optimizer": True}
    run(tmp_path / "run", values)
    state = torch.load(tmp_path / "run" / "inpo" / "steps" / "00003" / "optimizer.pt", weights_only=True)
    assert {group["lr"] for group in state["param_groups"]} == {1e-3}


def test_a_certificate_decides_when_the_inner_game_is_solved(tmp_path: Path, base: str) -> None:
    algorithm = {"name": "comal", "inner": tiny_run.INPO, "update": "copy"}
    run(tmp_path / "run", recipe(tmp_path, base, algorithm, steps=3))
    entries = journal_entries(tmp_path / "run" / "comal" / "journal.jsonl")
    certificates = [e for e in entries if e["instruction"]["do"] == "certify"]
    assert certificates
    for entry in certificates:
        assert entry["metrics"]["certificate"] == entry["report"]["kl_best_response"]
        assert entry["metrics"]["certificate_stderr"] == entry["report"]["kl_best_response_stderr"] >= 0
    moved = [i for i, e in enumerate(entries) if e["instruction"].get("out") == "reference"]
    for i in moved:
        report = entries[i - 1]["report"]
        doubt = 2 * report["kl_best_response_stderr"]
        assert report["kl_best_response"] + doubt <= 0.5 * report["kl_reference"] + 1e-6


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        (
            {"name": "sppo", "eta": 1.0},
            r"training\.loss: .*FixedPartitionStep.* `group` takes another step; use `loss: sppo`",
        ),
        ({"name": "iterative_dpo", "eta": 1.0}, r"training\.loss: .*BradleyTerryStep.*use `loss: dpo`"),
        ("comal", "needs the whole preference matrix .*choose a sampled inner algorithm"),
    ],
)
def test_what_cannot_be_sampled_is_refused_before_a_model_is_loaded(
    tmp_path: Path, base: str, algorithm: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", None)
    with pytest.raises(ConfigError, match=message):
        run(tmp_path / "run", recipe(tmp_path, base, algorithm))
    assert not (tmp_path / "run").exists()


def test_an_extragradient_run_that_stops_after_a_half_step_still_ends_well(tmp_path: Path, base: str) -> None:
    result = run(tmp_path / "run", recipe(tmp_path, base, {"name": "egpo", "eta": 2.0, "tau": 0.1}, steps=1))
    assert result.policies["egpo"].kl_start.mean == 0


def test_methods_are_given_the_same_prompts(tmp_path: Path, base: str) -> None:
    values = recipe(tmp_path, base, tiny_run.COMAL, steps=2, baselines={"self-play": {"name": "mwu", "eta": 2.0}})
    result = run(tmp_path / "run", values)
    for step in ("00000", "00001"):
        first, second = (
            read_table(tmp_path / "run" / name / "steps" / step / "samples.parquet")["prompt_id"]
            for name in ("comal", "self-play")
        )
        assert first == second
    assert result.methods == ("comal", "self-play")
    worst = {name: policy.figures.worst_case.win_rate for name, policy in result.policies.items()}
    assert result.policies["comal"].worst_case_excess is None
    excess = result.policies["self-play"].worst_case_excess
    assert excess is not None
    assert excess.mean == pytest.approx(worst["self-play"].mean - worst["comal"].mean)
    costs = [result.policies[name].comparisons for name in result.methods]
    assert costs[0] == costs[1] == 2 * 8 * 6, "2 steps, 8 prompts, 4·3/2 pairs of samples"


def snapshot(folder: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


def test_another_configuration_in_the_folder_is_refused_and_nothing_destroyed(tmp_path: Path, base: str) -> None:
    values = recipe(tmp_path, base, tiny_run.COMAL, steps=1)
    run(tmp_path / "run", values)
    before = snapshot(tmp_path / "run")
    with pytest.raises(RunError, match=r"another configuration: algorithm\.inner\.tau was 0\.2, is 0\.3\. Use another"):
        run(tmp_path / "run", values | {"algorithm": tiny_run.COMAL | {"inner": tiny_run.INPO | {"tau": 0.3}}})
    with pytest.raises(RunError, match=r"seed was 0, is 1; steps was 1, is 2"):
        run(tmp_path / "run", values | {"seed": 1, "steps": 2})
    assert snapshot(tmp_path / "run") == before
    run(tmp_path / "run", values | {"processes": 2})  # changes no figure


def test_a_finished_run_is_not_run_again(tmp_path: Path, base: str) -> None:
    values = recipe(tmp_path, base, tiny_run.COMAL, steps=2)
    result = run(tmp_path / "run", values)
    before = {
        p: time for p, time in snapshot(tmp_path / "run").items() if p.name not in ("progress.json", "timing.json")
    }
    assert run(tmp_path / "run", values) == result
    assert before.items() <= snapshot(tmp_path / "run").items()


def test_an_orphaned_worker_draws_no_test_answers(tmp_path: Path, base: str) -> None:
    """Its method is finished; what is left of its job is to draw answers for the final evaluation."""
    values = recipe(tmp_path, base, tiny_run.COMAL, steps=1)
    run(tmp_path / "run", values)
    for path in (tmp_path / "run" / "evaluation").glob("comal*.parquet"):
        path.unlink()
    with pytest.raises(OrphanedError):
        run_method(tmp_path / "run", resolve(validate(values)), "comal", parent=os.getpid())
    assert not list((tmp_path / "run" / "evaluation").glob("comal*"))
    run_method(tmp_path / "run", resolve(validate(values)), "comal", parent=os.getppid())
    assert list((tmp_path / "run" / "evaluation").glob("comal*"))


def test_a_folder_with_something_else_in_it_is_refused_and_left_alone(tmp_path: Path, base: str) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("mine")
    with pytest.raises(RunError, match="the folder is not empty and holds no run"):
        run(foreign, recipe(tmp_path, base, tiny_run.COMAL))
    assert [p.name for p in foreign.iterdir()] == ["thesis.tex"]
    with pytest.raises(RunError, match="this is a file, not a folder"):
        run(foreign / "thesis.tex", recipe(tmp_path, base, tiny_run.COMAL))


def test_a_run_that_computed_nothing_may_be_corrected(tmp_path: Path, base: str) -> None:
    values = recipe(tmp_path, base, tiny_run.COMAL, steps=1)
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{nonsense\n")
    mistaken = values | {"prompts": values["prompts"] | {"train": {"source": str(broken)}}}
    with pytest.raises(Exception, match=r"broken\.jsonl:1"):
        run(tmp_path / "run", mistaken)
    run(tmp_path / "run", values)
    assert read_json(tmp_path / "run" / "run.json")["recipe"]["prompts"]["train"]["source"].endswith("train.jsonl")


def test_names_that_would_collide_in_the_run_folder_are_refused() -> None:
    plain = validate(
        {
            "name": "x", "policy": {"model": "m"}, "prompts": {"train": {"source": "p.jsonl"}},
            "judge": "j", "algorithm": {"name": "comal"}, "steps": 1,
        }
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"baselines\.comal: this is the main algorithm's name"):
        method_names(plain.model_copy(update={"baselines": {"comal": "mwu"}}))
    for name in ("start", "data", "model", "evaluation", "supervised", "../outside", ""):
        with pytest.raises(ConfigError, match=f"baselines.{name}: .*call the baseline something else"):
            method_names(validate(plain.model_dump() | {"baselines": {name: "mwu"}}))


def test_every_setting_is_kept_in_run_json(tmp_path: Path, base: str) -> None:
    values = recipe(tmp_path, base, tiny_run.COMAL, steps=1)
    run(tmp_path / "run", values)
    kept = read_json(tmp_path / "run" / "run.json")["recipe"]
    built = {"algorithm": True, "judge": True, "training": True, "sampling": {"engine"}}  # kept with every option
    assert validate(kept).model_dump(exclude=built) == validate(values).model_dump(exclude=built)
    assert kept["sampling"]["engine"]["name"] == "transformers"
    assert kept["algorithm"].keys() >= {f.name for f in dataclasses.fields(type(_comal()))}


def _comal() -> Any:
    from comal.plugins import ALGORITHMS

    return ALGORITHMS.build(tiny_run.COMAL, "algorithm")
