"""`comal eval` of verdicts that there are already, as other people's tools write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from comal.games.io import read_table
from comal.pipeline.crossplay.result import EvaluationResult
from command_line import comal, refused


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def pair(question: int, first: str, second: str, winner: str) -> dict[str, Any]:
    """A judgment of FastChat in which both games name the same winner."""
    word = {first: "model_1", second: "model_2"}.get(winner, winner)
    return {"question_id": question, "model_1": first, "model_2": second, "g1_winner": word, "g2_winner": word,
            "judge": ["gpt-4", "pair-v2"], "turn": 1}  # fmt: skip


@pytest.fixture
def circle(tmp_path: Path) -> Path:
    """Rock beats scissors beats paper beats rock, on nine prompts of ten."""
    meetings = [("rock", "scissors"), ("scissors", "paper"), ("paper", "rock")]
    rows = [pair(q, a, b, a if q % 10 else b) for q in range(40) for a, b in meetings]
    return jsonl(tmp_path / "gpt-4_pair.jsonl", rows)


def test_a_circle_has_no_best_system(circle: Path, tmp_path: Path) -> None:
    done = comal("eval", circle, "--draws", "100", "--output-dir", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "40 prompts, judged by gpt-4 pair-v2" in done.stdout
    assert "Nash mixture      paper 0.333, rock 0.333, scissors 0.333" in done.stdout
    assert "1 of three policies, 1 beyond doubt" in done.stdout
    assert "no verdict on 0 of 120 questions; the order of presentation changes 0.0% of the winners" in done.stdout
    result = EvaluationResult.from_json(json.loads((tmp_path / "out" / "result.json").read_text()), "result.json")
    assert result.figures.judging.comparisons == 240
    assert result.policies["rock"].standing.win_rate.value == pytest.approx(0.5)
    matrix = read_table(tmp_path / "out" / "matrix.csv")
    assert matrix.labels == ("paper", "rock", "scissors")
    assert matrix.numbers[1].tolist() == pytest.approx([0.1, 0.5, 0.9])


def test_a_baselines_judgments_of_several_models(tmp_path: Path) -> None:
    def judged(model: str, score: str) -> list[dict[str, Any]]:
        games = [{"score": score[::-1].replace("<", ">")}, {"score": score}]
        return [{"uid": f"u{i}", "model": model, "baseline": "o3", "judge": "j", "games": games} for i in range(5)]

    files = [
        jsonl(tmp_path / f"{model}.jsonl", judged(model, score)) for model, score in (("good", "A>B"), ("bad", "B>>A"))
    ]
    done = comal("eval", *files, "--baseline", "o3", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["policies"]["good"]["against_baseline"]["value"] == 0.75
    assert told["policies"]["bad"]["against_baseline"]["value"] == 0.0
    assert told["game"] is None
    assert set(tmp_path.iterdir()) == set(files), "nothing is written"
    plain = comal("eval", *files, "--baseline", "o3", "--slight", "0.9").stdout
    assert "0.900" in plain
    assert "1 of 3 pairs were never compared" in " ".join(plain.split())


def test_ties_of_battles(tmp_path: Path) -> None:
    rows = [
        {"question_id": i, "model_a": "x", "model_b": "y", "winner": winner}
        for i, winner in enumerate(["model_a", "model_b", "tie", "model_a"])
    ]
    path = jsonl(tmp_path / "battles.jsonl", rows)
    assert json.loads(comal("eval", path, "--json").stdout)["matrix"][0][1] == pytest.approx(2.5 / 4)
    none = json.loads(comal("eval", path, "--json", "--tie", "none").stdout)
    assert none["matrix"][0][1] == pytest.approx(2 / 3)
    assert none["judging"]["failures"] == 1


def test_mistakes(circle: Path, tmp_path: Path) -> None:
    refused(comal("eval", circle, "--tie", "0.4"), "--tie: need 0.5 or none, got `0.4`")
    refused(comal("eval", circle, "--slight", "0.6"), "--slight: does nothing to")
    refused(comal("eval", circle, "--baseline", "rok"), "are about no `rok`. Did you mean `rock`")
    refused(comal("eval", circle, "--limit", "5"), "--limit: does nothing to ready verdicts")
    refused(comal("eval", circle, "--temperature", "0.5"), "--temperature: does nothing to ready verdicts")
    refused(comal("eval", circle, "--draws", "3"), "--draws: an interval needs at least 20 resamples, got 3")
    refused(comal("eval", circle, "no/model"), "--judge: say who judges", "`no/model` is no file")
    refused(comal("eval", circle, "--judge", "rules", "--tie", "none"), "--tie: is for ready verdicts")
    judge = "{name: rules, rules: [{measure: words}]}"
    refused(comal("eval", circle, "--judge", judge), "--judge:", "holds verdicts already; leave it out")
    outputs = tmp_path / "outputs.json"
    outputs.write_text(json.dumps([{"instruction": "q", "output": "a", "generator": "m"}]))
    refused(comal("eval", outputs), "--judge:", "holds answers; say whom to ask")
    nobody = jsonl(tmp_path / "judgebench.jsonl", [{
        "pair_id": "p", "question": "q", "response_A": "a", "response_B": "b", "label": "A>B", "judge_name": "j",
        "judgments": [{"decision": "A>B"}, {"decision": "B>A"}],
    }])  # fmt: skip
    refused(comal("eval", nobody), "does not say whose the answers are", "comal audit")
    (tmp_path / "table.csv").write_text(",a,b\na,0.5,0.7\nb,0.3,0.5\n")
    refused(comal("eval", tmp_path / "table.csv"), "holds a table; `comal solve` solves it")
    broken = jsonl(tmp_path / "broken.jsonl", [{"question_id": 1, "model_1": "x", "g1_winner": "model_1"}])
    refused(comal("eval", broken), "broken.jsonl", "model_2")
