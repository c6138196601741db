"""Files of other judges' tools, each made by hand after its documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from comal.errors import DataError
from comal.evaluation.audit.formats.sources import Source, Table, read_source
from comal.evaluation.audit.formats.tools import Grades
from command_line import comal, refused

MT_BENCH = {
    "question_id": 81, "model_1": "alpaca", "model_2": "gpt-4", "g1_winner": "model_2", "g2_winner": "tie",
    "judge": ["gpt-4", "pair-v2"], "g1_user_prompt": "...", "g1_judgment": "... [[B]]", "turn": 1, "tstamp": 1.5,
}  # fmt: skip
BATTLE = {"question_id": "q1", "model_a": "x", "model_b": "y", "winner": "model_a", "judge": "arena_user_1", "turn": 1}
KAGGLE = {
    "id": 30192, "model_a": "x", "model_b": "y", "prompt": '["hi"]', "response_a": '["a"]', "response_b": '["b"]',
    "winner_model_a": 0, "winner_model_b": 0, "winner_tie": 1,
}  # fmt: skip
ARENA_1 = {
    "question_id": "u1", "model": "mine", "judge": "gpt-4-1106-preview",
    "games": [{"user_prompt": "...", "judgment": "[[B>>A]]", "score": "B>>A"}, {"judgment": "[[A>B]]", "score": "A>B"}],
}  # fmt: skip
ARENA_2 = {
    "uid": "u1", "category": "hard_prompt", "judge": "gpt-4.1", "model": "mine", "baseline": "o3-mini",
    "games": [{"score": "A=B", "judgment": {"answer": "..."}}, {"score": None, "judgment": {"answer": "?"}}],
}  # fmt: skip
JUDGEBENCH = {
    "pair_id": "p1", "original_id": "1", "source": "mmlu-pro", "question": "2+2?", "response_model": "gpt-4o",
    "response_A": "4", "response_B": "five", "label": "A>B", "judge_name": "arena_hard",
    "judgments": [{"judgment": {}, "decision": "A>B"}, {"judgment": {}, "decision": "A>B"}],
}  # fmt: skip
LLMFAO = {"id": "1", "left": "x", "right": "y", "winner": "right", "worker": "w1"}
PROMETHEUS = {
    "instruction": "Greet.", "response_A": "Hi", "response_B": "Hello there", "rubric": "...", "feedback": "...",
    "score": "B", "preference": "A",
}  # fmt: skip


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def csv(path: Path, *rows: dict[str, Any]) -> Path:
    def cell(value: Any) -> str:
        return '"' + str(value).replace('"', '""') + '"'

    lines = [",".join(rows[0]), *(",".join(map(cell, row.values())) for row in rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def read(path: Path, grades: Grades | None = None) -> Source:
    return read_source(path, Table(grades=grades or Grades()))


def probabilities(source: Source) -> list[float]:
    assert source.verdicts is not None
    return [row.probability for row in source.verdicts.rows]


def test_mt_bench_names_its_winners_in_both_games(tmp_path: Path) -> None:
    source = read(jsonl(tmp_path / "gpt-4_pair.jsonl", MT_BENCH, MT_BENCH | {"turn": 2, "g1_winner": "error"}))
    found = source.verdicts
    assert source.tool == "mt-bench"
    assert found.systems == ("alpaca", "gpt-4")
    assert found.prompts == ("81 (turn 1)", "81 (turn 2)")
    assert found.raters == ("gpt-4 pair-v2",)
    assert [(row.first, row.second) for row in found.rows[:2]] == [(0, 1), (1, 0)]
    np.testing.assert_equal(probabilities(source), [0.0, 0.5, np.nan, 0.5])


@pytest.mark.parametrize("write", [jsonl, csv])
def test_battles(tmp_path: Path, write: Any) -> None:
    path = tmp_path / ("b.jsonl" if write is jsonl else "b.csv")
    rows = [BATTLE | {"winner": w, "question_id": w} for w in ("model_a", "model_b", "tie", "tie (bothbad)")]
    source = read(write(path, *rows))
    assert (source.tool, source.verdicts.systems) == ("battles", ("x", "y"))
    assert probabilities(source) == [1.0, 0.0, 0.5, 0.5]
    np.testing.assert_equal(probabilities(read(path, Grades(tie=None))), [1.0, 0.0, np.nan, np.nan])


def test_battles_as_kaggle_has_them_and_as_a_list(tmp_path: Path) -> None:
    path = csv(tmp_path / "train.csv", KAGGLE, KAGGLE | {"id": 2, "winner_tie": 0, "winner_model_b": 1})
    assert probabilities(read(path)) == [0.5, 0.0]
    (tmp_path / "b.json").write_text(json.dumps([BATTLE]))
    assert probabilities(read(tmp_path / "b.json")) == [1.0]


def test_arena_hard_shows_the_baseline_first_in_the_first_game(tmp_path: Path) -> None:
    source = read(jsonl(tmp_path / "mine.jsonl", ARENA_1))
    assert source.verdicts.systems == ("baseline", "mine")
    assert [(row.first, row.probability) for row in source.verdicts.rows] == [(0, 0.0), (1, 0.75)]
    assert probabilities(read(tmp_path / "mine.jsonl", Grades(slight=0.6))) == [0.0, 0.6]
    second = read(jsonl(tmp_path / "two.jsonl", ARENA_2))
    assert second.verdicts.systems == ("mine", "o3-mini")
    np.testing.assert_equal(probabilities(second), [0.5, np.nan])


def test_judgebench_exchanges_the_answers_in_the_second_game(tmp_path: Path) -> None:
    """A>B twice is for the place: response_A once, response_B once."""
    source = read(jsonl(tmp_path / "j.jsonl", JUDGEBENCH))
    assert source.verdicts.tables()[0, 0, 1] == pytest.approx(0.5)
    assert source.people.tables()[0, 0, 1] == 1.0
    assert source.verdicts.lengths.tolist() == [[1, 4]]


def test_judgebench_without_judgments_is_to_be_judged(tmp_path: Path) -> None:
    plain = {key: value for key, value in JUDGEBENCH.items() if not key.startswith("judg")}
    source = read(jsonl(tmp_path / "gpt.jsonl", plain | {"label": "B>A"}))
    assert source.verdicts is None
    assert (source.answers.prompts, source.answers.texts) == (("2+2?",), (("4", "five"),))
    assert source.people.rows[0].probability == 0.0


def test_crowds(tmp_path: Path) -> None:
    rows = [LLMFAO | {"winner": w, "worker": f"w{i}"} for i, w in enumerate(["right", "left", "tie", "X"])]
    source = read(csv(tmp_path / "crowd.csv", *rows))
    assert (source.tool, source.verdicts.raters) == ("llmfao", ("w0", "w1", "w2", "w3"))
    assert probabilities(source) == [0.0, 1.0, 0.5, 1.0]


def test_prometheus_relative(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps([PROMETHEUS, PROMETHEUS | {"score": None, "preference": "B"}]))
    source = read(tmp_path / "p.json")
    np.testing.assert_equal(probabilities(source), [0.0, np.nan])
    assert [row.probability for row in source.people.rows] == [1.0, 0.0]
    assert source.verdicts.lengths.tolist() == [[2, 11]] * 2


@pytest.mark.parametrize(
    ("row", "column", "near"),
    [
        (MT_BENCH, "g2_winner", None),
        (MT_BENCH, "model_1", "model_2"),
        (MT_BENCH, "question_id", None),
        (BATTLE, "winner", None),
        (BATTLE, "model_b", "model_a"),
        (ARENA_1, "model", None),
        (JUDGEBENCH, "label", None),
        (JUDGEBENCH, "response_B", "response_A"),
        (PROMETHEUS, "score", None),
        (PROMETHEUS, "response_A", "response_B"),
    ],
)
def test_a_missing_column_is_named(tmp_path: Path, row: dict[str, Any], column: str, near: str | None) -> None:
    lacking = {key: value for key, value in row.items() if key != column}
    with pytest.raises(DataError, match=rf"v.jsonl:1: {column}: this column is missing") as caught:
        read(jsonl(tmp_path / "v.jsonl", lacking))
    if near is not None:
        assert f"Did you mean `{near}`" in str(caught.value)


def test_a_crowds_missing_column_is_named(tmp_path: Path) -> None:
    lacking = {key: value for key, value in LLMFAO.items() if key != "left"}
    with pytest.raises(DataError, match=r"crowd.csv:2: left: this column is missing"):
        read(csv(tmp_path / "crowd.csv", lacking))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (MT_BENCH | {"g1_winner": "model_3"}, r"g1_winner: expected one of model_1, .* got 'model_3'"),
        (BATTLE | {"winner": "x"}, r"winner: expected one of model_a"),
        (BATTLE | {"winner": 1}, r"winner: expected one of"),
        (BATTLE | {"model_b": "x"}, "compares x with itself"),
        (ARENA_1 | {"games": [{"score": "A>B"}]}, "games: expected the two games"),
        (ARENA_1 | {"games": [{"score": "A>B"}, {"score": "C"}]}, r"games\[1\].score: expected a grade"),
        (ARENA_1 | {"games": [{"score": "A>B"}, {"judgment": "x"}]}, r"games\[1\]: score: this column is missing"),
        (JUDGEBENCH | {"label": "A"}, "label: expected a grade"),
        (JUDGEBENCH | {"question": 3}, "question: expected a text"),
        (PROMETHEUS | {"score": "C"}, "score: expected one of a, b"),
    ],
)
def test_what_is_no_word_of_the_tool_is_refused(tmp_path: Path, row: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        read(jsonl(tmp_path / "v.jsonl", row))


def test_the_command_audits_a_tools_file_and_refuses_options_that_do_nothing_to_it(tmp_path: Path) -> None:
    rows = [MT_BENCH | {"question_id": i, "g2_winner": "model_2"} for i in range(12)]
    path = jsonl(tmp_path / "gpt-4_pair.jsonl", *rows)
    done = comal("audit", path, "--tie", "none", "--json")
    assert done.exit_code == 0, done.output
    refused(comal("audit", path, "--slight", "0.6"), "--slight", "does nothing to mt-bench")
    refused(comal("audit", path, "--tie", "0.4"), "--tie", "need 0.5 or none")
    plain = jsonl(tmp_path / "v.jsonl", {"prompt_id": "q", "system_1": "a", "system_2": "b", "preference": 1})
    refused(comal("audit", plain, "--tie", "none"), "--tie", "is for files that another tool of judges wrote")
