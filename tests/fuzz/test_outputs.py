"""Outputs and verdicts of anybody's making: audited and evaluated with figures that add up, or refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_line import comal
from fuzzing import TIERS, Tier, sound
from odd_values import damaged, mutated, some_of
from possible_results import audited, evaluated

JUDGE = '{name: python, function: "judge_functions:longer"}'
JUDGES = (JUDGE, JUDGE, JUDGE, JUDGE.replace("longer", "whatever"), JUDGE.replace("longer", "undecided"))
WORDS = ("a", "b b", "c c c", "d", "é", "🙂", "x" * 300, "None", "nan", "\u2028", "a\0b", " a", "a\n", "\ufeffa", "[/]")
NAMES = ("A", "B", "C", "a/b", "start", "[bold]", "a,b", "..", "A ", "\u202ex", "x" * 300, "=1+1", "a\nb", "now")


@st.composite
def outputs(draw: st.DrawFn, name: str = "A", prompts: int = 3) -> list[dict[str, Any]]:
    """Of one system, sometimes several to a prompt."""
    answers = draw(st.lists(st.sampled_from(WORDS), min_size=prompts, max_size=prompts + 2))
    asked = draw(st.sampled_from(("prompt", "\u2028", "[bold]", "a\0b")))
    return [
        {"instruction": f"{asked} {n % prompts}", "output": answer, "generator": name}
        for n, answer in enumerate(answers)
    ]


@st.composite
def output_files(draw: st.DrawFn) -> list[bytes]:
    """Of two systems or three to the same prompts, if nothing happened to them."""
    prompts = draw(st.integers(2, 12))
    names = draw(st.permutations(NAMES))[: draw(st.integers(2, 3))]
    harmed = draw(st.sampled_from((*names, None)))
    files = []
    for name in names:
        rows = outputs(name, prompts)
        files.append(draw(damaged(mutated(rows, NEAR).map(as_json)) if name == harmed else rows.map(as_json)))
    return files


@st.composite
def verdicts(draw: st.DrawFn) -> list[dict[str, Any]]:
    names = draw(
        st.sampled_from((("prompt_id", "system_1", "system_2"), ("instruction", "generator_1", "generator_2")))
    )
    more = draw(
        st.sampled_from(((), ("rater",), ("output_1", "output_2"), ("label", "input"), ("length_1", "length_2")))
    )
    said = draw(st.sampled_from(("preference", "probability")))
    texts = {"rater": "label", "output_1": "x", "output_2": "xy", "input": "z"}
    names_of_systems = draw(st.permutations(NAMES))[: draw(st.integers(2, 4))]
    found = []
    for _ in range(draw(st.integers(1, 20))):
        first, second = draw(st.permutations(names_of_systems))[:2]
        row: dict[str, Any] = dict(zip(names, (f"prompt {draw(st.integers(0, 2))}", first, second), strict=True))
        row[said] = draw(st.sampled_from((1, 2, "tie", None, 1.3) if said == "preference" else (0, 1, 0.5, None, 0.2)))
        row |= {key: texts.get(key, draw(st.sampled_from((1, 2)))) for key in more}
        found.append(row)
    return found


LLMBAR = [{"input": f"q{n}", "output_1": "a", "output_2": "bb", "label": 1 + n % 2} for n in range(4)]
PANDALM = [
    {"idx": n, "cmp_key": pair, "instruction": f"q{n % 3}", "input": "", "response1": "a", "response2": "b b",
     "annotator1": n % 3, "annotator2": "1", "gpt_result": "2"}
    for n, pair in enumerate(["A_B", "B_C", "C_A", "A_B", "C_B"])
]  # fmt: skip
NEAR = ("A", "prompt 0", "tie", 1, 2, 0.5, [{"type": "text", "text": "x"}])
AUDIT_OPTIONS = (
    (), ("--exact",), ("--draws", 3), ("--repeats", 2), ("--prompts", 1), ("--seed", -1), ("--counts", 3), ("--wins",),
    ("--seed", 10**20), ("--seed", 5), ("--judge", JUDGE), ("--cache", "cache.sqlite"), ("--labels", "labels.jsonl"),
)  # fmt: skip


def as_json(rows: Any) -> bytes:
    return json.dumps(rows).encode()


def as_lines(rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in (rows if isinstance(rows, list) else [rows])).encode()


@TIERS
def test_verdicts_are_audited_or_refused(tier: Tier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("labels.jsonl").write_text('{"prompt_id": "prompt 0", "system_1": "A", "system_2": "B", "preference": 1}\n')
    content = st.one_of(
        st.tuples(st.just("v.jsonl"), damaged(mutated(verdicts(), NEAR).map(as_lines))),
        st.tuples(
            st.just("v.json"),
            damaged(mutated(st.one_of(verdicts(), st.just(LLMBAR), st.just(PANDALM), outputs()), NEAR).map(as_json)),
        ),
    )

    @tier.share(0.09)
    @given(content, some_of(AUDIT_OPTIONS, most=1))
    def holds(file: tuple[str, bytes], options: tuple[tuple[Any, ...], ...]) -> None:
        Path(file[0]).write_bytes(file[1])
        if file[0] == "v.json":  # a model's verdicts on PandaLM's test set want it beside them
            Path("testset-v1.json").write_bytes(as_json(PANDALM))
        sound(comal("audit", file[0], "--json", *(part for option in options for part in option)), audited)

    holds()


@TIERS
def test_outputs_are_compared_or_refused(tier: Tier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    more = ("--intersection", "--allow-empty", "--no-length-control", "--limit=2", "--baseline=B", "--seed=-1")

    @tier.share(0.12)
    @given(output_files(), some_of(more), st.sampled_from(("eval", "eval", "eval", "audit")), st.sampled_from(JUDGES))
    def holds(contents: list[bytes], options: tuple[str, ...], command: str, judge: str) -> None:
        names = [f"{chr(ord('A') + n)}.json" for n in range(len(contents))]
        for name, content in zip(names, contents, strict=True):
            Path(name).write_bytes(content)
        if command == "audit":
            sound(comal("audit", *names, "--json", "--judge", judge), audited)
            return
        shutil.rmtree("evaluation", ignore_errors=True)
        given = ("--judge", judge, "--output-dir", "evaluation", "--draws", 20, "--json")
        sound(comal("eval", *names, *given, *options), evaluated)

    holds()
