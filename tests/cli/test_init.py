"""`comal init` writes recipes that pass `comal plan`, whatever is asked for, and overwrites nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny_models
from comal.pipeline.cost.fit import fit
from comal.recipes.load import load_recipe
from comal.recipes.starter import JUDGE_KINDS, Starter, module_of
from comal.recipes.yaml_text import parse_yaml
from comal.resolve import resolve_judge
from command_line import comal, refused

SMALL = "0.0025"  # GB: too little to train all of the tiny model, enough for adapters


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In an empty folder, whose files can be imported."""
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.syspath_prepend(str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_models.save_causal_lm(tmp_path_factory.mktemp("init") / "model")


@pytest.fixture
def prompts(tmp_path: Path) -> str:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Why {i}?"}) + "\n" for i in range(20)), "utf-8")
    return str(path)


@pytest.mark.parametrize("memory", [None, SMALL])
@pytest.mark.parametrize("own_prompts", [True, False])
@pytest.mark.parametrize("judge", [None, *JUDGE_KINDS])
def test_every_combination_passes_plan(
    tmp_path: Path, model: str, prompts: str, judge: str | None, own_prompts: bool, memory: str | None
) -> None:
    words: list[Any] = ["mine.yaml", "--model", model]
    words += [] if judge is None else ["--judge", judge]
    if judge == "reward_model":
        words += ["--judge-model", tiny_models.save_reward_model(tmp_path / "rm", hidden_size=32, layers=1)]
    words += ["--prompts", prompts] if own_prompts else []
    words += [] if memory is None else ["--gpu-memory", memory]
    written = comal("init", *words)
    assert written.exit_code == 0, written.output
    assert written.stdout == ""
    planned = comal("plan", "mine.yaml", "--json")
    assert planned.exit_code == 0, planned.output
    recipe = load_recipe("mine.yaml")
    assert recipe.judge["name"] == (judge or "openai")
    assert (recipe.policy.lora is None) == (memory != SMALL)
    assert json.loads(planned.stdout)["total"]["prompts_available"] == (12 if own_prompts else None)
    assert (Path("mine_judge.py").exists(), "mine_judge.py" in written.stderr) == ((judge == "python"),) * 2
    for said in ("wrote mine.yaml", "comal plan mine.yaml", "comal run mine.yaml"):
        assert said in written.stderr
    _explains_every_key(Path("mine.yaml").read_text("utf-8"))


def _explains_every_key(text: str) -> None:
    lines = text.splitlines()
    keys = [n for n, line in enumerate(lines) if re.match(r" *\w+:", line)]
    assert len(keys) > 30
    for n in keys:
        beside = re.search(r"  # \w.+", lines[n])
        above = re.match(r" *# \w", lines[n - 1])
        assert beside or above, f"no comment explains {lines[n]!r}"


def test_every_written_key_is_a_line_of_its_own_and_plain_yaml_reads_the_same(model: str) -> None:
    comal("init", "--model", model, "--gpu-memory", SMALL)
    text = Path("mine.yaml").read_text("utf-8")
    assert yaml.safe_load(text) == parse_yaml(text, "")
    assert max(len(line) for line in text.splitlines() if model not in line) <= 120
    assert not re.search(r"^[^#]*\{", text, re.MULTILINE), "keys inside of braces would have no comment"


@pytest.mark.parametrize(("words", "rates"), [(["--lora"], (1e-4, 5e-4)), ([], (5e-6, 5e-5))])
def test_rates_are_those_that_move_a_policy(model: str, words: list[str], rates: tuple[float, float]) -> None:
    comal("init", "--model", model, *words)
    training = load_recipe("mine.yaml").training
    assert rates[0] <= training.learning_rate <= rates[1]
    assert training.keep_optimizer


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30)


@settings(max_examples=40)
@given(
    name=TEXTS, model=TEXTS, prompts=TEXTS, column=TEXTS, judge_model=TEXTS,
    lora=st.booleans(), judge=st.sampled_from(JUDGE_KINDS), dtype=st.sampled_from(["float32", "bfloat16"]),
    held_out=st.integers(2, 64),
)  # fmt: skip
def test_names_come_back_as_they_were_given(judge: Any, judge_model: str, **given_: Any) -> None:
    starter = Starter(
        file="mine.yaml", why="Because.", judge=judge, judge_model=None if judge == "python" else judge_model,
        module=module_of(given_["name"]), **given_,
    )  # fmt: skip
    values = parse_yaml(starter.text(), "mine.yaml")
    assert values["name"] == given_["name"]
    assert values["policy"]["model"] == given_["model"]
    assert values["prompts"]["train"] == {"source": given_["prompts"], "prompt": given_["column"]}
    assert values["prompts"]["held_out"] == given_["held_out"]
    assert ("lora" in values["policy"]) == given_["lora"]
    assert starter.module.isidentifier()
    resolve_judge(values["judge"], "judge")
    compile(starter.judge_text(), "judge.py", "exec")
    _explains_every_key(starter.text())


def test_the_written_judge_is_a_symmetric_function_with_a_rule(model: str, at_home: Path) -> None:
    comal("init", "ours.yaml", "--model", model, "--judge", "python")
    scope: dict[str, Any] = {}
    exec(compile(Path("ours_judge.py").read_text("utf-8"), "ours_judge.py", "exec"), scope)
    better = scope["better"]
    assert better("", "short", "much longer") > 0.5
    for first, second in (("a", "bb"), ("bb", "a"), ("a", "b"), ("", "")):
        assert better("", first, second) == pytest.approx(1 - better("", second, first))


@pytest.mark.parametrize("there", ["mine.yaml", "mine_judge.py"])
def test_nothing_is_overwritten(model: str, there: str) -> None:
    Path(there).write_text("mine", "utf-8")
    refused(comal("init", "--model", model, "--judge", "python"), f"`{there}` exists and is left as it is")
    assert Path(there).read_text("utf-8") == "mine"
    assert [path.name for path in Path().iterdir()] == [there], "and nothing else is written"


MISTAKES = [
    (["--judge", "pyton"], ["--judge: `pyton`", "Did you mean `python`?"]),
    (["--judge", "reward-model"], ["--judge", "Did you mean `reward_model`?"]),
    (["--judge", "committee"], ["--judge: `committee`", "Known: openai, python, reward_model"]),
    (["--judge", "python", "--judge-model", "x"], ["--judge-model: a function has no model"]),
    (["--judge", "reward_model", "--judge-model", "./nowhere"], ["--judge-model: there is no folder `./nowhere`"]),
    (["--model", "./nowhere"], ["--model: there is no folder `./nowhere`"]),
    (["--gpu-memory", "0"], ["--gpu-memory: need a positive number of GB, got 0"]),
    (["--gpu-memory", "nan"], ["--gpu-memory: need a positive number of GB"]),
    (["--gpu-memory", "0.0001"], ["--gpu-memory: 0.0001 GB is too little", "take a smaller model"]),
    (["--prompts", "no.jsonl"], ["no.jsonl"]),
    (["--prompts", "PROMPTS", "--prompt-column", "promt"], ["there is no column `promt`", "Did you mean `prompt`?"]),
    (["mine.txt"], ["FILE: a recipe's file ends in .yaml, got `mine.txt`"]),
    (["no/mine.yaml"], ["FILE: there is no folder `no`"]),
]


@pytest.mark.parametrize(("words", "parts"), MISTAKES, ids=[" ".join(m[0]) for m in MISTAKES])
def test_a_mistake_is_one_message_and_nothing_is_written(
    model: str, prompts: str, words: list[str], parts: list[str]
) -> None:
    words = [prompts if word == "PROMPTS" else word for word in words]
    refused(comal("init", *([] if "--model" in words else ["--model", model]), *words), *parts)
    assert list(Path().iterdir()) == []


def test_too_few_prompts_are_plans_own_message(tmp_path: Path, model: str) -> None:
    path = tmp_path / "few.jsonl"
    path.write_text('{"prompt": "one"}\n{"prompt": "two"}\n{"prompt": "three"}\n', "utf-8")
    refused(comal("init", "--model", model, "--prompts", path), "prompts.", "give more prompts")
    assert list(Path().iterdir()) == []


def test_memory_decides_what_is_trained() -> None:
    """Of a hub's model by the number in its name: 7e9 parameters in float32 take 5 · 4 · 7e9 bytes whole."""
    assert (fit("owner/big-7B", 240, 16).lora, fit("owner/big-7B", 150, 16).lora) == (False, True)
    assert fit("owner/big-7B", 48, 16).dtype == "float32"
    assert fit("owner/big-7B", 24, 16).dtype == "bfloat16"
    assert "130.4 GiB" in fit("owner/big-7B", 24, 16).why
    assert fit("owner/big-7B", 240, 16, adapters_only=True).lora
    assert fit("owner/big-7B", 240, 16, adapters_only=True).dtype == "float32"
    assert not fit("owner/Qwen2.5-0.5B-Instruct", 24, 16).lora
    unknown = fit("owner/name", 24, 16)
    assert (unknown.lora, unknown.dtype) == (True, "bfloat16")
    assert "not known before it is downloaded" in unknown.why


def test_a_local_judge_takes_its_share() -> None:
    assert fit("owner/a-0.5B", 16, 16).lora is False
    assert fit("owner/a-0.5B", 16, 16, local_judge="owner/judge-3B").lora is True
