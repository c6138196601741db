"""Mistakes in what `comal eval` is given are one message; failures of the judge stop it, or are shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import refused
from toy_eval import PROMPTS, comal, judge_file, outputs, toy_arguments


@pytest.fixture
def toy(tmp_path: Path) -> list[object]:
    return toy_arguments(tmp_path)


def test_mistakes_are_one_message(toy, tmp_path: Path) -> None:
    a, b, _, *rest = toy
    judge = ["--judge", judge_file(tmp_path)]
    refused(comal(a, *rest), "policies: cross-play needs at least two policies, got 1")
    refused(comal(a, a, *rest), "A: two policies have this name", "NAME=SOURCE")
    refused(
        comal(a, tmp_path / "in" / "b.json", *rest),
        "there is no such file of model outputs",
        "Known: A.json, B.json",
    )
    refused(comal(a, b, *rest, "--baseline", "D"), "--baseline: `D` is not one of the policies: A, B")
    refused(
        comal(a, b, "--judge", "matrx"),
        "--judge: `matrx` is no judge, recipe, file or run. Did you mean `matrix`?",
    )
    refused(comal(a, b, "--judge", tmp_path / "no.yaml"), "--judge: there is no file")
    refused(comal(a, b, "--judge", "{a: ["), "--judge: not YAML")
    refused(comal(a, b, *rest, "--limit", 1), "--limit: ", "got 1")
    refused(comal(a, b, *rest, "--draws", 3), "--draws: ", "got 3")
    refused(comal(a, "./nowhere", *rest), "there is no folder `./nowhere`")
    refused(comal(a, b, *rest, "--prompts", "no.jsonl"), "--prompts: there is no file `no.jsonl`")
    other = outputs(tmp_path / "in", "D", {"p1": "rock", "p2": "rock"})
    refused(comal(a, other, *rest), "D: has no answer to 2 of the 4 instructions", "'p3'", "--intersection")
    assert not (tmp_path / "out").exists(), "nothing was judged"
    both = comal(a, other, *judge, "--output-dir", tmp_path / "both", "--intersection", "--json")
    assert json.loads(both.stdout)["num_prompts"] == 2
    assert "2 of 4 instructions are left out" in both.stderr
    empty = outputs(tmp_path / "in", "E", dict.fromkeys(PROMPTS, "rock") | {"p2": ""})
    refused(comal(a, empty, *rest), "1 of 4 outputs are empty", "--allow-empty")
    (tmp_path / "in" / "F.json").write_text('[{"instruction": "p1", "answer": "x"}]')
    refused(comal(a, tmp_path / "in" / "F.json", *rest), "F.json, row 1: there is no `output`")
    (tmp_path / "in" / "G.json").write_text("{}")
    refused(comal(a, tmp_path / "in" / "G.json", *rest), "G.json: expected a list")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").write_text("mine")
    refused(comal(a, b, *judge, "--output-dir", tmp_path / "foreign"), "is not empty and holds no evaluation")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split", "train"], "--split: says how to read --prompts, which is not given; leave it out"),
        (["--prompt-column", "q"], "--prompt-column: says how to read --prompts"),
        (["--prompts", "p.jsonl", "--split", "test"], "--split: does nothing to a file of prompts"),
        (["--answers", 1], "--answers: is for models; the answers of these policies are there already"),
        (["--temperature", 1], "--temperature: is for models"),
        (["--top-p", 0.9], "--top-p: is for models"),
        (["--max-new-tokens", 4], "--max-new-tokens: is for models"),
        (["--batch-size", 4], "--batch-size: is for models"),
        (["--system-prompt", "Be brief."], "--system-prompt: is for models"),
        (["--reference", "m"], "--reference: is for models"),
    ],
)
def test_options_that_touch_no_output_file_are_refused(toy, tmp_path: Path, options, message) -> None:
    refused(comal(*toy, *options), message)
    assert not (tmp_path / "out").exists()


def test_an_unknown_prompt_of_the_judge_is_one_message(tmp_path: Path) -> None:
    files = [outputs(tmp_path, name, {"p1": "rock", "q": said}) for name, said in (("A", "rock"), ("B", "paper"))]
    refused(
        comal(*files, "--judge", judge_file(tmp_path), "--output-dir", tmp_path / "o"),
        "no game for the prompt 'q'",
    )


def test_too_many_failures_stop_and_some_are_shown(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "fussy.py").write_text(
        "def f(x, a, b):\n    return None if x == 'x0' else .5 + .3 * (a > b) - .3 * (a < b)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    prompts = [f"x{i}" for i in range(10)]
    files = [outputs(tmp_path, name, dict.fromkeys(prompts, name)) for name in "AB"]
    judge = ["--judge", "{name: python, function: 'fussy:f'}", "--output-dir", tmp_path / "o"]
    refused(comal(*files, *judge), "no verdict on 1 of 10 questions, more than 5%")
    found = json.loads(comal(*files, *judge, "--max-failures", 0.2, "--json").stdout)
    (pair,) = found["pairs"]
    assert pair["prompts"] == {"wins": 0, "ties": 0, "losses": 9, "missing": 1}
    assert found["judging"]["failures"] == 1
    assert found["matrix"][0][1] == pytest.approx(0.2)
