"""Exports: each pair once, in the columns that the other side's documentation names, with a card beside."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import datasets
import pytest

import fake_run
from comal.pipeline.data.prompts import PromptSplits
from comal.pipeline.disk.files import write_table
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.export.pairs import JudgedPairs
from comal.policies.base import Prompt
from command_line import comal, refused

ONE = Prompt.of_text("one?")
TALK = Prompt((
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "yes?"},
    {"role": "user", "content": "two?"},
))  # fmt: skip
ANSWERS = {"a": "yes", "b": "no", "c": "may\u2028be", "d": "no"}
"""By id; `b` and `d` read the same (one was cut off by its limit)."""
P = {("a", "b"): 0.9, ("a", "c"): 0.5, ("b", "c"): 0.2}


def write_step(
    folder: Path, prompts: list[Prompt], unasked: tuple[str, str] = (), failed: tuple[str, str] = ()
) -> None:
    """A step's files as the pipeline writes them: all pairs of the samples, diagonal and mirrored halves among them."""
    write_table(folder / "samples.parquet", {
        "prompt_id": [p.id for p in prompts for _ in ANSWERS],
        "answer_id": [a for _ in prompts for a in ANSWERS],
        "prompt": [p.text for p in prompts for _ in ANSWERS],
        "text": [t for _ in prompts for t in ANSWERS.values()],
    })  # fmt: skip
    pairs = [(p.id, i, j) for p in prompts for i, j in product(ANSWERS, repeat=2)]

    def verdict(i: str, j: str) -> float | None:
        if i == j:
            return 0.5
        if {i, j} == set(failed) or {i, j} == set(unasked):
            return None
        i, j = (("b" if x == "d" else x) for x in (i, j))
        return 0.5 if i == j else P.get((i, j), 1 - P.get((j, i), 0.5))

    write_table(folder / "verdicts-0.parquet", {
        "prompt_id": [p for p, _, _ in pairs],
        "first_id": [i for _, i, _ in pairs],
        "second_id": [j for _, _, j in pairs],
        "probability": [verdict(i, j) for _, i, j in pairs],
        "asked": [{i, j} != set(unasked) for _, i, j in pairs],
    })  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two steps of one method, one of another; the second step of the first asks about its prompt again."""
    judge = {"name": "rules", "rules": [{"measure": "characters"}]}
    folder = fake_run.write_run(tmp_path / "run", steps=0, finished=False, judge=judge)
    RunFolder(folder).write_prompts(PromptSplits((ONE, TALK), (), (Prompt.of_text("held out"),)))
    write_step(folder / "comal" / "steps" / "00000", [ONE, TALK])
    write_step(folder / "comal" / "steps" / "00001", [ONE])
    write_step(folder / "fixed" / "steps" / "00000", [ONE])
    return folder


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("ascii").split("\n") if line]


def test_each_pair_of_different_answers_comes_once(run: Path) -> None:
    pairs = JudgedPairs(RunFolder(run))
    found = list(pairs)
    assert [(p.prompt, p.first, p.second, p.probability) for p in found] == [
        (prompt, ANSWERS[i], ANSWERS[j], p) for prompt in (ONE, TALK) for (i, j), p in P.items()
    ]
    assert {(p.method, p.step) for p in found} == {("comal", 0)}
    # Of 16 rows a prompt: 4 + 2 + ... are on equal answers, 3 are pairs; two more looks at `one?` repeat 16 rows each.
    equal = 4 * 6
    assert pairs.left_out == {"equal answers": equal, "mirrored or repeated": 4 * 16 - equal - 6}
    assert found[0].margin == pytest.approx(0.8)


def test_what_was_not_asked_or_failed_is_no_pair(run: Path) -> None:
    write_step(run / "comal" / "steps" / "00000", [ONE], unasked=("a", "c"), failed=("a", "b"))
    pairs = JudgedPairs(RunFolder(run), ["comal"])
    (run / "comal" / "steps" / "00001" / "verdicts-0.parquet").unlink()
    found = [(p.first, p.second) for p in pairs]
    assert found == [("yes", "no"), ("no", "may\u2028be")], "a is judged against d, which reads like b"
    assert pairs.left_out["not asked"] == 2
    assert pairs.left_out["no verdict"] == 2


def test_trl_dpo_rows_load_with_the_package_as_preferences(run: Path, tmp_path: Path) -> None:
    done = comal("export", run, "--to", "trl-dpo", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(tmp_path / "out")
    assert "4 rows; left out: equal answers: 24, mirrored or repeated: 34, toss-up: 2" in done.stderr
    rows = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "hf"))
    assert rows.column_names[:3] == ["prompt", "chosen", "rejected"]
    first, second = rows[0], rows[1]
    assert first["prompt"] == [{"role": "user", "content": "one?"}]
    assert (first["chosen"], first["rejected"]) == (
        [{"role": "assistant", "content": "yes"}], [{"role": "assistant", "content": "no"}],
    )  # fmt: skip
    assert (first["probability"], first["margin"]) == (0.9, pytest.approx(0.8))
    assert second["chosen"][0]["content"] == "may\u2028be", "Pr(no > maybe) is 0.2"
    assert (second["probability"], second["margin"]) == (0.8, pytest.approx(0.6))
    assert [m["role"] for m in rows[2]["prompt"]] == ["user", "assistant", "user"]


def test_texts_system_prompts_margins_and_methods(run: Path, tmp_path: Path) -> None:
    plain = json.loads((run / "run.json").read_text())
    plain["recipe"]["policy"]["system_prompt"] = "be brief"
    (run / "run.json").write_text(json.dumps(plain))
    comal("export", run, "--to", "openrlhf", "-o", tmp_path / "a", "--min-margin", 0.7, "--method", "fixed")
    assert [row["prompt"] for row in lines(tmp_path / "a" / "train.jsonl")] == [
        [{"role": "system", "content": "be brief"}, {"role": "user", "content": "one?"}]
    ]
    comal("export", run, "--to", "openrlhf", "-o", tmp_path / "b", "--as", "text", "--method", "fixed")
    rows = lines(tmp_path / "b" / "train.jsonl")
    assert [(r["prompt"], r["chosen"], r["rejected"]) for r in rows] == [
        ("System: be brief\n\nUser: one?", "yes", "no"), ("System: be brief\n\nUser: one?", "may\u2028be", "no"),
    ]  # fmt: skip


@pytest.mark.parametrize("written", ["messages", "text"])
def test_llamafactory_rows_are_what_its_description_says(run: Path, tmp_path: Path, written: str) -> None:
    comal("export", run, "--to", "llamafactory", "-o", tmp_path / "out", "--as", written)
    (name, info), = json.loads((tmp_path / "out" / "dataset_info.json").read_text()).items()  # fmt: skip
    rows = lines(tmp_path / "out" / info["file_name"])
    assert name == "fake"
    assert info["ranking"] is True
    assert set(info["columns"].values()) <= set(rows[0])
    last = rows[-1]
    if written == "messages":
        assert info["formatting"] == "sharegpt"
        assert [turn["from"] for turn in last["conversations"]] == ["human", "gpt", "human"]
        assert last["chosen"] == {"from": "gpt", "value": "may\u2028be"}
    else:
        assert (last["instruction"][:8], last["input"], last["rejected"]) == ("User: hi", "", "no")


def test_grpo_gets_the_training_prompts(run: Path, tmp_path: Path) -> None:
    comal("export", run, "--to", "trl-grpo", "-o", tmp_path / "out")
    rows = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "hf"))
    assert rows.column_names == ["prompt"]
    assert [row["prompt"][-1]["content"] for row in rows] == ["one?", "two?"]


def test_parquet_has_every_judged_pair_as_it_was_judged(run: Path, tmp_path: Path) -> None:
    comal("export", run, "--to", "parquet", "-o", tmp_path / "out")
    rows = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "hf"))
    assert rows["probability"][:] == [0.9, 0.5, 0.2] * 2
    assert rows[0]["prompt"] == [{"role": "user", "content": "one?"}]
    card = (tmp_path / "out" / "README.md").read_text()
    for column in rows.column_names:
        assert f"| `{column}` |" in card


def test_answers_of_policies(run: Path, tmp_path: Path) -> None:
    held_out = Prompt.of_text("held out")
    for policy in ("start", "comal"):
        write_table(RunFolder(run).answers(policy), {
            "prompt_id": [held_out.id] * 2, "prompt": ["held out"] * 2, "text": [f"{policy} 1", f"{policy} 2"],
        })  # fmt: skip
    comal("export", run, "--to", "alpaca-eval", "-o", tmp_path / "alpaca")
    assert json.loads((tmp_path / "alpaca" / "model_outputs-comal.json").read_text()) == [
        {"instruction": "held out", "output": "comal 1", "generator": "comal"}
    ]
    comal("export", run, "--to", "arena-hard", "-o", tmp_path / "arena")
    (question,) = lines(tmp_path / "arena" / "question.jsonl")
    (answer,) = lines(tmp_path / "arena" / "model_answer" / "start.jsonl")
    assert (question["prompt"], answer["uid"], answer["model"]) == ("held out", question["uid"], "start")
    assert answer["messages"][1] == {"role": "assistant", "content": {"answer": "start 1"}}


def test_the_card_names_the_judge_and_what_was_left_out(run: Path, tmp_path: Path) -> None:
    from comal.resolve import resolve_judge

    comal("export", run, "--to", "trl-dpo", "-o", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert resolve_judge(RunFolder(run).recipe().judge, "judge").fingerprint() in card
    assert "- toss-up: 2" in card


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--to", "trl-dop"], "`trl-dop` is no format. Did you mean `trl-dpo`"),
        (["--to", "trl-dpo", "--as", "chat"], "--as: need messages or text, got `chat`"),
        (["--to", "trl-grpo", "--min-margin", "0.1"], "--min-margin: does nothing to trl-grpo"),
        (["--to", "alpaca-eval", "--as", "text"], "--as: does nothing to alpaca-eval"),
        (["--to", "trl-dpo", "--method", "comel"], "no method `comel`. Did you mean `comal`"),
        (["--to", "trl-dpo", "--min-margin", "0.95"], "below --min-margin: 4"),
        (["--to", "alpaca-eval"], "no answers to the test prompts yet"),
    ],
)
def test_what_cannot_be_exported_is_said(run: Path, tmp_path: Path, options: list[str], told: str) -> None:
    refused(comal("export", run, *options, "-o", tmp_path / "out"), told)
    assert list(tmp_path.glob("out/*")) == []


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    refused(comal("export", tmp_path, "--to", "parquet"), str(tmp_path))
