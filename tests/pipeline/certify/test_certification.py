"""Certificates of real language models on a known game, whose best responses are worked out from the matrix."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

import forked
import one_game
import tiny_models
import tiny_run
from comal.algorithms.base import POLICY, REFERENCE, TARGET, Opponents, ProxStep, against, only
from comal.errors import ConfigError, PolicyError, RunError
from comal.evaluation.exploitability.certificate import Certificate, read_certificate
from comal.evaluation.exploitability.scoreboard import START
from comal.pipeline.certify.certification import Certification, fresh_prompts
from comal.pipeline.certify.plan import Plan, model_name
from comal.pipeline.certify.settings import CertifySettings, defaults
from comal.pipeline.disk.exploiter_look import ExploiterLook
from comal.pipeline.disk.files import read_json, read_table, write_json
from comal.pipeline.disk.progress import journal_entries
from comal.pipeline.run.check import HARMLESS, refuse_other
from comal.pipeline.run.resolved import resolve
from comal.pipeline.step.sampler import sampler_of
from comal.policies.base import Prompt
from comal.recipes.load import changed, validate
from comal.records import read, to_json
from waiting import LIMIT

TESTS = Path(__file__).parents[2] / "support"
FROM_ITSELF, FROM_START = "trained exploiter (from itself)", "trained exploiter (from start)"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models `start`, `pure` (always a) and `nash`, and the recipe's data files."""
    folder = tmp_path_factory.mktemp("models")
    one_game.recipe(folder)
    one_game.imitate(folder / "pure", (1, 0, 0), folder / "start")
    one_game.imitate(folder / "nash", (4 / 11, 3 / 11, 4 / 11), folder / "start")
    return folder


def certification(folder: Path, models: Path, names: list[str], *told: str, **changes: Any) -> Certification:
    resolved = resolve(validate(one_game.recipe(models, **changes)))
    settings = changed(CertifySettings, defaults(resolved), told)
    return Certification(folder, Plan(folder, resolved.recipe, settings), {name: models / name for name in names}, {})


@pytest.fixture(scope="module")
def certified(models: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Certificate]:
    folder = tmp_path_factory.mktemp("certified")
    with certification(folder, models, ["pure", "nash"], "steps=16", "every=4", "algorithm.eta=4") as work:
        return {c.policy: c for c in work.execute()}


def rates(certificate: Certificate) -> dict[str, float]:
    return {a.name: a.win_rate.mean for a in certificate.adversaries}


def test_a_pure_policys_exploiter_reaches_nearly_the_best_responses_win_rate(
    models: Path, certified: dict[str, Certificate]
) -> None:
    """Against a policy that answers a, the best response is b, which wins .9; a itself can hardly learn to say b."""
    policy = one_game.distribution(models / "pure", one_game.PROMPTS[-1], models / "start")
    best = float((one_game.P @ policy).max())
    assert best == pytest.approx(0.9, abs=0.01)
    found = certified["pure"]
    assert rates(found)[FROM_START] == pytest.approx(best, abs=0.02)
    assert found.exploitable
    assert found.worst_case.win_rate.mean == pytest.approx(best, abs=0.03)
    assert found.verdict.startswith("exploitable: ")
    assert rates(found)[FROM_ITSELF] < 0.6, "why exploiters are trained from the starting model too"
    (curve,) = [e for e in found.exploiters if e.start == "start"]
    assert [look.step for look in curve.curve] == [0, 4, 8, 12, 16]
    assert curve.curve[0].win_rate.mean < 0.75
    assert curve.picked == max(curve.curve, key=lambda look: look.win_rate.mean).step


def test_nobody_gets_far_against_the_nash_policy(models: Path, certified: dict[str, Certificate]) -> None:
    """Its imitation is not exact; no adversary may win more than the best response to the policy as it is."""
    policy = one_game.distribution(models / "nash", one_game.PROMPTS[-1], models / "start")
    best = float((one_game.P @ policy).max())
    assert best < 0.54
    found = certified["nash"]
    for adversary in found.adversaries:
        assert adversary.win_rate.low < best + 0.02, adversary.name
    assert max(rates(found)[name] for name in (FROM_ITSELF, FROM_START)) < best + 0.06
    # Twelve prompts say no more: at .53 on all of them, with the four invented ones, t reaches about .2 further.
    assert found.worst_case.win_rate.mean < found.ceiling < 0.8


def test_every_kind_of_adversary_is_there_with_its_prompts(certified: dict[str, Certificate]) -> None:
    names = rates(certified["nash"])
    assert set(names) == {
        START, FROM_ITSELF, FROM_START, "only a", "only b", "only c",
        "best of 4 from itself", "best of 4 from start",
        f"best of 4 from {FROM_ITSELF}", f"best of 4 from {FROM_START}",
    }  # fmt: skip
    assert {a.kind for a in certified["nash"].adversaries} == {
        "another policy", "trained exploiter", "one class only", "best of N",
    }  # fmt: skip
    assert all(a.win_rate.prompts == 12 and a.win_rate.missing == 0 for a in certified["nash"].adversaries)
    assert names == dict(sorted(names.items(), key=lambda item: -item[1]))


def test_the_folder_holds_the_same_certificate_and_prompts_are_kept_apart(
    models: Path, certified: dict[str, Certificate], tmp_path: Path
) -> None:
    assert certified["pure"].judge["name"] == "matrix"
    assert certified["pure"].seen == 0, "nothing had used the test prompts before"
    folder = tmp_path / "small"
    with certification(folder, models, ["pure"], "steps=2", "every=1", "starts=[start]") as work:
        (made,) = work.execute()
    assert read_certificate(folder / "pure" / "certificate.json") == made
    assert read_json(folder / "pure" / "certificate.json") == made.to_json()
    looks = sorted((folder / "pure" / "exploiter-from-start" / "looks").glob("*.json"))
    assert len(looks) == 3
    for path in looks:
        rewritten = tmp_path / "again.json"
        write_json(rewritten, to_json(read(ExploiterLook, path)))
        assert rewritten.read_bytes() == path.read_bytes()
    used = {part: {Prompt.of_text(p).id for p in prompts} for part, prompts in one_game.SPLITS.items()}
    exploiter = folder / "pure" / "exploiter-from-start"
    trained = read_table(exploiter / "steps" / "00000" / "samples.parquet")["prompt_id"]
    assert set(trained) <= used["train"]
    assert set(read_table(exploiter / "looks" / "00001.parquet")["prompt_id"]) == used["validation"]
    for path in [*(folder / "answers").glob("*.parquet"), *exploiter.glob("answers-*.parquet")]:
        assert set(read_table(path)["prompt_id"]) == used["test"]
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*.parquet")}
    with certification(folder, models, ["pure"], "steps=2", "every=1", "starts=[start]") as work:
        assert work.execute() == [made]
    assert before == {p: p.stat().st_mtime_ns for p in folder.rglob("*.parquet")}


def test_an_exploiter_gives_samples_of_its_own_and_is_judged_against_the_targets(models: Path, tmp_path: Path) -> None:
    with certification(tmp_path / "c", models, ["pure"], "steps=2", "every=2", "starts=[start]") as work:
        work.execute()
    exploiter = tmp_path / "c" / "pure" / "exploiter-from-start"
    step = exploiter / "steps" / "00001"
    assert set(read_table(step / "opponent-target.parquet")["text"]) == {"a"}
    samples = read_table(step / "samples.parquet")
    assert len(set(samples["text"])) > 1
    targets = read_table(step / "targets.parquet")
    worth = {"a": 0.5, "b": 0.9, "c": 0.2}  # against a
    assert targets["win_rate"] == pytest.approx([worth.get(text, 0.0) for text in samples["text"]])
    assert targets["sampler_logp"] == targets["policy_logp"] == targets["logp_policy"]
    entries = journal_entries(exploiter / "journal.jsonl")
    assert [e["instruction"]["opponent"] for e in entries] == [[[1.0, {"target": 1.0}]]] * 2
    assert [e["metrics"]["comparisons"] for e in entries] == [12 * 8 * 8] * 2


def test_only_against_a_target_does_the_policy_draw_its_own_samples() -> None:
    step = ProxStep(only(POLICY), against(TARGET), 1.0)
    assert sampler_of(step) == only(POLICY)
    assert sampler_of(ProxStep(only(POLICY), against(REFERENCE), 1.0)) == only(REFERENCE)
    mixed = Opponents(((2.0, only("half")), (-1.0, only(TARGET))))
    assert sampler_of(ProxStep(only(POLICY), mixed, 1.0)) == only("half")


def test_killed_at_every_kind_of_moment_the_certificate_is_that_of_an_uninterrupted_one(
    models: Path, tmp_path: Path
) -> None:
    values = one_game.recipe(models)
    values["evaluation"] |= {"samples": 2, "best_of": [2]}
    recipe = tiny_run.write(tmp_path, values)
    told = ["--set", "steps=2", "--set", "every=1", "--set", "starts=[start]"]
    command = ["certify", str(models / "pure"), "--recipe", str(recipe), *told]
    comal = [sys.executable, "-m", "comal", *command, "--output-dir", str(tmp_path / "whole")]
    whole = forked.call(comal, folder=TESTS)
    assert whole.returncode == 0, whole.stderr
    folder = tmp_path / "killed"
    driver = [sys.executable, str(TESTS / "kill_everywhere.py"), str(folder), *command, "--output-dir", str(folder)]
    done = forked.call(driver, folder=TESTS, timeout=10 * LIMIT)  # dozens of runs
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["codes"] == [-signal.SIGKILL] * len(found["moments"]) + [0], folder.with_suffix(".log").read_text()
    assert {
        "write certify.json", "write policy.json", "stage evaluate", "stage sample", "stage judge", "stage train",
        "inside ProxTrainer", "write checkpoint/model.safetensors", "journal ProxStep", "journaled ProxStep",
        "stage pure: adversaries", "write certificate.json",
    } <= set(found["moments"])  # fmt: skip
    assert found["rewritten"] == [], "what was journaled is not computed again"
    for name in ("pure/certificate.json", "pure/exploiter-from-start/looks/00002.json"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list(folder.rglob(".*.tmp-*"))


def test_exploiters_side_by_side_find_the_same(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forked.fork_workers(monkeypatch)
    told = ["steps=2", "every=2", "evaluation.classes=null"]
    found = []
    for processes in (1, 2):
        with certification(tmp_path / str(processes), models, ["nash"], *told, f"processes={processes}") as work:
            assert work.exploiters == ["nash/exploiter-from-policy", "nash/exploiter-from-start"]
            found.append(work.execute()[0].to_json())
    assert found[0].pop("settings") | {"processes": 2} == found[1].pop("settings")
    assert found[0] == found[1]


def test_the_starting_model_itself_has_one_exploiter(models: Path, tmp_path: Path) -> None:
    work = certification(tmp_path, models, ["start"])
    assert work.exploiters == ["start/exploiter-from-start"]


# What it is told


def test_defaults_come_from_the_recipe(models: Path) -> None:
    values = one_game.recipe(models)
    inner = {"name": "inpo", "eta": 3.0, "tau": 0.1}
    recipe = validate(
        values | {"algorithm": {"name": "comal", "inner": inner, "inner_steps": 2, "update": "copy"}, "seed": 5}
    )
    settings = changed(CertifySettings, defaults(resolve(recipe)), ["training.learning_rate=0.5"])
    assert settings.algorithm == {"name": "best_response", "eta": 3.0}
    assert settings.seed == 5
    assert (settings.training.learning_rate, settings.training.final_learning_rate) == (0.5, None)
    assert settings.training.keep_optimizer
    assert settings.sampling == recipe.sampling
    own = settings.recipe(recipe)
    assert (own.policy, own.prompts, own.supervised) == (recipe.policy, recipe.prompts, recipe.supervised)
    assert own.evaluation.every == settings.every


def test_labels_of_selected_pairs_do_not_train_exploiters(models: Path) -> None:
    values = one_game.recipe(models)
    values["training"] |= {"loss": {"name": "pair"}, "pairing": "best-worst"}
    settings = changed(CertifySettings, defaults(resolve(validate(values))), [])
    assert (settings.training.loss, settings.training.pairing) == ("group", None)


def test_the_judge_is_the_evaluations_where_it_has_its_own(models: Path) -> None:
    values = one_game.recipe(models)
    other = values["judge"] | {"games": {p: [[0.5] * 3] * 3 for p in one_game.PROMPTS}}
    values["evaluation"]["judge"] = other
    assert defaults(resolve(validate(values)))["judge"]["games"][one_game.PROMPTS[0]] == [[0.5] * 3] * 3


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("algorithm.name=mwu algorithm.eta=2", "an exploiter plays against the policy"),
        ("evaluation.judge=matrix", "set `judge` and `every` themselves"),
        ("evaluation.test_prompts=1", "an interval needs two prompts"),
        ("step=3", r"step: there is no such setting. Did you mean `steps`\?"),
        ("starts=[nowhere]", "starts"),
        ("algorithm.tua=1", r"algorithm.tua: `best_response` has no such option. Did you mean `tau`\?"),
    ],
)
def test_senseless_settings_are_refused_before_anything_is_made(
    models: Path, tmp_path: Path, told: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message), certification(tmp_path / "c", models, ["pure"], *told.split()):
        pass
    assert not (tmp_path / "c").exists()


# Folders


def test_another_configuration_or_policy_in_the_folder_is_refused(models: Path, tmp_path: Path) -> None:
    told = ["steps=1", "every=1", "starts=[start]", "evaluation.best_of=[]"]
    with certification(tmp_path / "c", models, ["pure"], *told) as work:
        work.execute()
    with (
        pytest.raises(RunError, match=r"another configuration: steps was 1, is 3"),
        certification(tmp_path / "c", models, ["pure"], *told, "steps=3"),
    ):
        pass
    moved = tmp_path / "moved"
    shutil.copytree(models / "nash", moved / "pure")
    work.policies = {"pure": str(moved / "pure")}
    with pytest.raises(RunError, match="certifies another policy's weights"), work:
        pass
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").write_text("mine")
    with (
        pytest.raises(RunError, match="holds no certificates"),
        certification(tmp_path / "foreign", models, ["pure"]),
    ):
        pass
    assert [p.name for p in (tmp_path / "foreign").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("of", ["", "of."])
@pytest.mark.parametrize("setting", [*(s for s in sorted(HARMLESS) if not s.startswith("supervised.")), "seed"])
def test_what_changes_no_figure_may_differ_in_the_certified_runs_recipe_too(
    models: Path, tmp_path: Path, setting: str, of: str
) -> None:
    plain = certification(tmp_path / "c", models, ["pure"], "steps=1").plan.to_json()
    other = deepcopy(plain["recipe"])
    *sections, name = (of + setting).split(".")
    inside = other
    for section in sections:
        inside = inside[section]
    inside[name] = "another"
    if setting in HARMLESS:
        refuse_other(plain, other, tmp_path)
    else:
        with pytest.raises(RunError, match=f"another configuration: {of}seed was 0, is 'another'"):
            refuse_other(plain, other, tmp_path)


def test_a_model_of_another_vocabulary_is_refused(models: Path, tmp_path: Path) -> None:
    """Its tokens would be drawn and trained on as others."""
    tiny_models.save_causal_lm(models / "foreign")
    with (
        certification(tmp_path / "c", models, ["foreign"], "steps=1") as work,
        pytest.raises(PolicyError, match=r"another vocabulary than the model that the recipe starts from .*start"),
    ):
        work.execute()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"chat_template": "{{ messages[0]['content'] }}"}, "is shown '.*' by its own chat template and tokenizer"),
        ({"chat_template": None}, "is shown '.*' by its own chat template and tokenizer, and would be shown '.*' here"),
        ({"eos_token": "a"}, "ends its answers with 'a', and the model .* with "),
    ],
)
def test_an_adversary_that_is_prompted_in_another_way_is_refused(
    models: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    """It would be measured on prompts, or up to ends, that it does not know."""
    other = tmp_path / "other"
    shutil.copytree(models / "pure", other)
    tokenizer = AutoTokenizer.from_pretrained(other)
    for name, value in changes.items():
        setattr(tokenizer, name, value)
    (other / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer.save_pretrained(other)
    resolved = resolve(validate(one_game.recipe(models)))
    settings = changed(CertifySettings, defaults(resolved), ["steps=1"])
    plan = Plan(tmp_path / "c", resolved.recipe, settings, (other,))
    with (
        Certification(tmp_path / "c", plan, {"nash": models / "nash"}, {"other": other}) as work,
        pytest.raises(PolicyError, match=said) as raised,
    ):
        work.execute()
    assert raised.value.place == str(other)


def test_prompts_that_the_runs_own_evaluation_saw_come_last() -> None:
    prompts = [Prompt.of_text(str(i)) for i in range(5)]
    assert [p.text for p in fresh_prompts(prompts, 2)] == ["2", "3", "4", "0", "1"]


def test_a_models_name_never_names_something_else(tmp_path: Path) -> None:
    assert model_name(tmp_path / "comal") == "comal"
    for taken in ("start", "answers", "data", "supervised", ".hidden"):
        assert model_name(tmp_path / taken) == "policy"


def test_prompt_lists_and_matrices_of_this_file_agree() -> None:
    assert np.allclose(one_game.P + one_game.P.T, 1)
    assert sorted(p for part in one_game.SPLITS.values() for p in part) == sorted(one_game.PROMPTS)
