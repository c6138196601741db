"""`comal run`, `plan`, `status` and `list` as a person types them, above all with mistakes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

import tiny_models
import tiny_run
from comal.pipeline.disk.files import write_json
from comal.recipes.load import load_recipe
from command_line import comal, refused


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return tiny_run.write(tmp_path, tiny_run.values(tmp_path / "data"))


MISTAKES = [
    (["algorithm=nashmd"], ["algorithm.name: `nashmd` is not an algorithm. Did you mean `nash_md`?"]),
    (["algorithm.inner.name=inop"], ["algorithm.inner.name", "Did you mean `inpo`?"]),
    (["algorithm.tua=0.1"], ["algorithm.tua: `comal` has no such option."]),
    (["algorithm.inner.tua=0.1"], ["algorithm.inner.tua: `inpo` has no such option. Did you mean `tau`?"]),
    (["algorithm.inner.tau=-1"], ["algorithm.inner", "-1"]),
    (["algorithm=3"], ["algorithm: ", "got 3"]),
    (["algorithm=[a]"], ["algorithm: "]),
    (["judge=matrx"], ["judge.name: `matrx` is not a judge. Did you mean `matrix`?"]),
    (["training.loss.name=grup"], ["training.loss.name: `grup` is not a loss. Did you mean `group`?"]),
    (["training.loss=pair"], ["training.pairing: this loss takes one pair a prompt"]),
    (["training.pairing=best-worst"], ["training.pairing: this loss takes all samples"]),
    (["training.arguments.bf17=true"], ["training.arguments.bf17", "Did you mean `bf16`?"]),
    (["training.scheduler=cosin"], ["training.scheduler", "Did you mean `cosine`?"]),
    (["sampling.sample=3"], ["sampling.sample: there is no such setting. Did you mean `samples`?"]),
    (["steps=-2"], ["steps: ", "got -2"]),
    (["nonsense"], ["--set: `nonsense` is not key=value"]),
    (["steps=[1"], ["steps: cannot read the value `[1`"]),
    (["prompts.train.source=no.jsonl"], ["prompts.train: there is no file `no.jsonl`"]),
    (["prompts.train.prompt=promt"], ["there is no column `promt`", "Did you mean `prompt`?"]),
    (["evaluation.classes=no_such_module:f"], ["evaluation.classes: cannot import `no_such_module`"]),
    (["baselines.data=mwu"], ["baselines.data: "]),
]


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(("settings", "parts"), MISTAKES, ids=[m[0][0] for m in MISTAKES])
def test_a_mistake_is_one_message_and_exit_2(
    tmp_path: Path, recipe: Path, command: str, settings: list[str], parts: list[str]
) -> None:
    folder = ["--output-dir", tmp_path / "run"] if command == "run" else []
    outcome = comal(command, recipe, *folder, *(a for s in settings for a in ("--set", s)))
    refused(outcome, *parts)
    assert not list((tmp_path / "run").glob("[!.]*/*")), "nothing was computed"
    assert ("run folder" in outcome.stderr) == (tmp_path / "run" / "run.json").is_file(), "only a taken one is named"


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_missing_model_is_one_message(tmp_path: Path, command: str) -> None:
    values = tiny_run.values(tmp_path / "data") | {"policy": {"model": str(tmp_path / "nowhere")}}
    recipe = tiny_run.write(tmp_path, values)
    folder = ["--output-dir", tmp_path / "run"] if command == "run" else []
    refused(comal(command, recipe, *folder), "policy.model: there is no folder", "nowhere", "give a model folder")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_broken_prompt_line_is_named(tmp_path: Path, recipe: Path, command: str) -> None:
    prompts = tmp_path / "data" / "train.jsonl"
    prompts.write_text(prompts.read_text() + '{"prompt": \n')
    folder = ["--output-dir", tmp_path / "run"] if command == "run" else []
    refused(comal(command, recipe, *folder), f"{prompts}:5: this line is not JSON")


def test_an_algorithm_without_a_name_is_one_message(tmp_path: Path) -> None:
    recipe = tiny_run.write(tmp_path, tiny_run.values(tmp_path / "data", {"eta": 1.0}))
    refused(comal("plan", recipe), "algorithm: expected the name of an algorithm, or a mapping with `name`")


def test_recipes_that_are_none(tmp_path: Path) -> None:
    refused(comal("run", tmp_path / "no.yaml"), "recipe: there is no file")
    (tmp_path / "bad.yaml").write_text("a: [")
    refused(comal("run", tmp_path / "bad.yaml"), "bad.yaml: not YAML")
    refused(comal("plan", "docstring"), "Did you mean `docstrings`?")


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path, recipe: Path) -> None:
    foreign = comal("run", recipe, "--output-dir", tmp_path / "data")
    refused(foreign, "is not empty and holds no run")
    assert "run folder" not in foreign.stderr
    (tmp_path / "file").write_text("mine")
    refused(comal("run", recipe, "--output-dir", tmp_path / "file"), "this is a file, not a folder")
    assert (tmp_path / "file").read_text() == "mine"


def test_plan_prints_what_is_derived_and_what_it_costs(recipe: Path) -> None:
    outcome = comal("plan", recipe, "--json")
    assert outcome.exit_code == 0, outcome.output
    plan = json.loads(outcome.stdout)
    (method,) = plan["methods"]
    assert method["derived"] == pytest.approx(
        {"η": 2.0, "INPO's eta (1/η)": 0.5, "regression margin (η/2)": 1.0, "τ": 0.2, "reference's weight ητ": 0.4}
    )
    assert method["program"][0].startswith("policy ← prox of P(· ≻ policy) from reference^0.4 · policy^0.6, η = 2")
    total = plan["total"]
    # 4 steps × 8 prompts × 4·3/2 pairs; the matrix judge is symmetric, so one order is asked.
    assert total["comparisons"] == total["judge_calls"] == 4 * 8 * 6
    assert total["answers"] == 4 * 8 * 4
    assert total["tokens"] == total["answers"]
    assert total["disk_bytes"] > 0
    text = comal("plan", recipe)
    assert text.exit_code == 0
    for part in ("ητ = 0.4", "INPO's eta (1/η) = 0.5", "regression margin (η/2) = 1", "judge calls, at most", "192"):
        assert part in text.stdout


def test_plan_says_what_a_certification_would_cost(tmp_path: Path, recipe: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = json.loads(comal("plan", recipe, "--json").stdout)["certify"]
    # Two exploiters of 40 steps, each of 8 prompts × 4 answers × 4 of the target's, looked at after 0, 8, ..., 40 steps
    # on 2 prompts × 2 × 2 answers.
    assert found["training"] == 2 * (40 * 8 * 16 + 6 * 2 * 4)
    # On 2 test prompts: the start, the picked and an earlier policy, two exploiters, each 2 × 2 answers; and best of 2
    # from the start, the policy itself and the exploiters, each against 2 answers.
    assert found["measuring"] == 2 * (5 * 4 + 4 * 2 * 2)
    assert found["judge_calls"] == found["training"] + found["measuring"], "the matrix judge is symmetric"
    assert (found["exploiters"], found["steps"], found["minutes"]) == (2, 80, None)
    line = f"{found['judge_calls']:,} judge calls; 2 exploiters, 80 steps (20 × the run's)"
    assert line in " ".join(comal("plan", recipe).stdout.split())

    # A run of it that took 8 s for its 4 steps, and 6 s to evaluate 3 policies on 2 prompts against 10 others.
    run = tmp_path / "runs" / "one-token"
    write_json(run / "run.json", {"format": 1, "recipe": load_recipe(str(recipe)).model_dump(mode="json")})
    write_json(run / "timing.json", {"methods": 8.0, "evaluation": 6.0})
    assert json.loads(comal("plan", recipe, "--json").stdout)["certify"]["minutes"] is None, "it is not finished"
    write_json(run / "result.json", {})
    seconds = 80 * 8 / 4 + 6 * found["measuring"] / (3 * 10 * 2 * 4)
    assert json.loads(comal("plan", recipe, "--json").stdout)["certify"]["minutes"] == math.ceil(seconds / 60) == 3
    assert "80 steps (about 3 min)" in " ".join(comal("plan", recipe).stdout.split())
    other = comal("plan", recipe, "--json", "--set", "sampling.samples=8")
    assert json.loads(other.stdout)["certify"]["minutes"] is None, "times of another recipe"


def test_plan_counts_both_orders_of_a_judge_that_is_not_symmetric(tmp_path: Path) -> None:
    judge = tiny_models.save_causal_lm(tmp_path / "judge")
    values = tiny_run.values(tmp_path / "data") | {"judge": {"name": "pairwise_lm", "model": judge}}
    total = json.loads(comal("plan", tiny_run.write(tmp_path, values), "--json").stdout)["total"]
    assert total["judge_calls"] == 2 * total["comparisons"]


def test_plan_loads_no_weights_and_leaves_no_files(tmp_path: Path) -> None:
    model = Path(tiny_models.save_causal_lm(tmp_path / "model"))
    (model / "model.safetensors").write_bytes(b"not weights")
    values = tiny_run.values(tmp_path / "data") | {"policy": {"model": str(model)}}
    recipe = tiny_run.write(tmp_path, values)
    before = sorted(tmp_path.rglob("*"))
    outcome = comal("plan", recipe)
    assert outcome.exit_code == 0, outcome.output
    assert "parameters" in outcome.stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_status_before_and_after(tmp_path: Path, recipe: Path) -> None:
    folder = tmp_path / "run"
    refused(comal("status", folder), "there is no run here")
    done = comal("run", recipe, "--output-dir", folder, "--set", "steps=1")
    assert done.exit_code == 0, done.output
    assert "against start" in done.stdout
    assert done.stderr.startswith(f"run folder: {folder}\n")
    assert "report" in done.stderr
    found = json.loads(comal("status", folder, "--json").stdout)
    assert found["finished"] is True
    assert (found["steps"], found["steps_left"]) == ({"comal": 1}, 0)
    assert found["parts"] == {"supervised": "done", "comal": "1/1 steps, done", "evaluation": "done"}
    (folder / "result.json").unlink()
    (folder / "comal" / "final.json").unlink()
    half = comal("status", folder)
    assert half.exit_code == 0
    assert "to do" in half.stdout
    assert "to continue" in half.stderr
    refused(
        comal("run", recipe, "--output-dir", folder, "--set", "steps=1", "--set", "seed=7"),
        "seed was 0, is 7",
        "another configuration",
    )


def test_list_names_everything_there_is() -> None:
    found = json.loads(comal("list", "--json").stdout)
    names = {kind: {entry["name"] for entry in entries} for kind, entries in found.items()}
    assert names["algorithms"] >= {"comal", "inpo", "mwu", "nash_md", "egpo", "omwu", "mpo"}
    assert names["judges"] >= {"committee", "matrix", "reward_model", "pairwise_lm"}
    assert names["losses"] >= {"group", "pair"}
    assert {"paper"} <= names["games"]
    assert {"majority"} <= names["populations"]
    assert "docstrings" in names["recipes"]
    assert all(entry["summary"] for entries in found.values() for entry in entries)
    assert comal("list", "losses").stdout.count("group") == 1
    refused(comal("list", "judgs"), "Did you mean `judges`?")


@pytest.mark.parametrize("command", [[], ["run"], ["plan"], ["status"], ["list"], ["solve"], ["reproduce"]])
def test_every_command_explains_itself(command: list[str]) -> None:
    outcome = comal(*command, "--help")
    assert outcome.exit_code == 0
    assert "Usage: " in outcome.stdout


def test_importing_comal_and_asking_for_help_load_no_torch() -> None:
    for statement in (
        "import comal",
        "from comal.cli import app; app(['--help'], standalone_mode=False)",
        "from comal.cli import app; app(['run', '--help'], standalone_mode=False)",
        "import comal.algorithms.comal, comal.games",
    ):
        check = "for m in ('torch', 'transformers', 'peft', 'datasets'): assert m not in sys.modules, m"
        code = f"import sys\n{statement}\n{check}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_plan_bounds_what_a_paid_judge_costs_without_asking_it(tmp_path: Path, recipe: Path) -> None:
    """Nobody listens at the address, and no prompt or answer is longer than the bound takes them to be."""
    judge = {
        "name": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1", "verdict": "logprobs",
        "template": "{{ prompt }}{{ first }}{{ second }}", "input_price": 2.0, "output_price": 10.0, "max_cost": 0.25,
    }  # fmt: skip
    path = tiny_run.write(tmp_path / "paid", tiny_run.values(tmp_path / "data") | {"judge": judge})
    outcome = comal("plan", path, "--json")
    assert outcome.exit_code == 0, outcome.output
    total = json.loads(outcome.stdout)["total"]
    training, evaluation = total["judge_spend"]["training"], total["judge_spend"]["evaluation"]
    # 4 steps × 8 prompts × 6 pairs in both orders; the longest prompt is "held out 0", 10 bytes; an answer is one
    # token, of 8 bytes at most and 4 usually; a chat template adds 256 tokens at most.
    calls = 2 * 4 * 8 * 6
    assert training["most"] == {
        "calls": calls, "input_tokens": calls * (10 + 2 * 8 + 256), "output_tokens": calls,
        "cost": pytest.approx(calls * ((10 + 2 * 8 + 256) * 2 + 10) / 1e6),
    }  # fmt: skip
    assert training["usual"]["input_tokens"] == calls * (5 + 256)  # 10 + 2 · 4 bytes, four of them a token, rounded up
    assert evaluation["most"]["calls"] == 2 * total["evaluation_comparisons"]
    assert training["budgets"] == {"max_cost": 0.25}
    text = " ".join(comal("plan", path).stdout.split())
    assert f"paid judge in training, at most {calls:,} calls, {calls * (282 + 1):,} tokens, 0.22 of money" in text
    assert "paid judge in training, budget max_cost 0.25" in text
    assert "paid judge" not in comal("plan", recipe).stdout


def test_a_key_in_a_recipe_is_refused_and_not_repeated(tmp_path: Path) -> None:
    key = "sk-proj-0123456789abcdefghij"
    for options in ({"api_key": key}, {"api_key_env": key}, {"extra_body": {"key": key}}):
        judge = {"name": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1", **options}
        path = tiny_run.write(tmp_path, tiny_run.values(tmp_path / "data") | {"judge": judge})
        for command in (("plan", path), ("run", path, "--output-dir", tmp_path / "run")):
            outcome = comal(*command)
            assert outcome.exit_code == 2
            assert "judge" in outcome.stderr
            assert key not in outcome.output + outcome.stderr
    assert not (tmp_path / "run").exists()
