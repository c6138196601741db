"""Verdicts that somebody collected, as a cross-play of their systems."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from comal.errors import DataError
from comal.evaluation.audit.formats.sources import read_source
from comal.evaluation.audit.verdicts import Verdicts
from comal.evaluation.crossplay.ratings import rate
from comal.evaluation.crossplay.summary import summarise
from comal.evaluation.intervals import Bootstrap
from comal.evaluation.ready import joined, play_of, without_people

DRAWS = Bootstrap(50)


def read(path: Path, *rows: dict[str, Any]) -> Verdicts:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    verdicts = read_source(path).verdicts
    assert verdicts is not None
    return verdicts


def battle(question: str, a: str, b: str, winner: str, judge: str = "people") -> dict[str, Any]:
    return {"question_id": question, "model_a": a, "model_b": b, "winner": winner, "judge": judge}


def game(question: str, first: str, second: str, g1: str, g2: str) -> dict[str, Any]:
    names = {first: "model_1", second: "model_2"}
    return {
        "question_id": question, "model_1": first, "model_2": second,
        "g1_winner": names.get(g1, g1), "g2_winner": names.get(g2, g2), "judge": "gpt", "turn": 1,
    }  # fmt: skip


def test_both_orders_count_alike_and_are_counted(tmp_path: Path) -> None:
    """x wins q1 in both orders; on q2 whoever is shown first wins; on q3 one order has no verdict, so there is none."""
    verdicts = read(
        tmp_path / "v.jsonl", game("q1", "x", "y", "x", "x"), game("q2", "x", "y", "x", "y"),
        game("q3", "x", "y", "x", "error"),
    )  # fmt: skip
    play = play_of(verdicts, DRAWS)
    np.testing.assert_equal(play.rates[:, 0, 1], [1.0, 0.5, np.nan])
    assert play.matrix[0, 1] == 0.75
    stats = play.stats
    assert (stats.comparisons, stats.questions, stats.failures, stats.both_orders) == (6, 3, 1, 2)
    assert stats.flips == 1
    assert stats.position_bias == pytest.approx((0.0 + 0.5) / 2)
    counted = play.outcomes(0, 1)
    assert (counted.wins, counted.ties, counted.losses, counted.missing) == (1, 1, 0, 1)
    assert play.verdicts(0, 1) == counted


def test_what_was_never_compared_is_not_missing(tmp_path: Path) -> None:
    verdicts = read(
        tmp_path / "v.jsonl", battle("q1", "x", "y", "model_a"), battle("q2", "x", "y", "tie"),
        battle("q3", "y", "z", "model_b"), battle("q4", "y", "z", "model_a"),
    )  # fmt: skip
    play = play_of(verdicts, DRAWS)
    assert play.outcomes(0, 1).missing == 0
    assert np.isnan(play.matrix[0, 2])
    summary = summarise(play, None, "y", with_length_control=False)
    assert summary.figures.game is None
    assert [(pair.first, pair.second) for pair in summary.figures.pairs] == [("x", "y"), ("y", "z")]
    assert summary.policies["x"].nash is None
    assert summary.policies["x"].win_rate.value is None, "x has not met z"
    assert summary.policies["x"].against_baseline is not None
    assert summary.policies["x"].against_baseline.value == 0.75
    assert any("1 of 3 pairs were never compared" in note for note in summary.notes)


def test_ratings_are_those_of_counted_battles(tmp_path: Path) -> None:
    """On a chain every pair's odds are its own battles': x beats y 3 to 1, y beats z 1 to 1, so x beats z 3 to 1."""
    rows = [battle(f"a{i}", "x", "y", "model_a" if i else "model_b") for i in range(4)]
    rows += [battle(f"b{i}", "y", "z", "model_a" if i else "model_b") for i in range(2)]
    ratings = rate(play_of(read(tmp_path / "v.jsonl", *rows), DRAWS), counted=True)
    assert ratings.elo is not None
    x, y, z = (interval.value for interval in ratings.elo)
    assert x is not None
    assert y is not None
    assert z is not None
    assert x - y == pytest.approx(400 * np.log10(3), abs=1e-6)
    assert y == pytest.approx(z, abs=1e-6)
    assert x + y + z == pytest.approx(3000)
    assert ratings.error == pytest.approx(0.0, abs=1e-9)


def test_where_all_met_equally_often_counting_changes_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = [("x", "y"), ("y", "z"), ("x", "z")]
    rows = [battle(f"q{q}", a, b, str(rng.choice(["model_a", "model_b", "tie"]))) for q in range(20) for a, b in pairs]
    play = play_of(read(tmp_path / "v.jsonl", *rows), DRAWS)
    counted, alike = rate(play, counted=True).elo, rate(play).elo
    assert counted is not None
    assert alike is not None
    assert [e.value for e in counted] == pytest.approx([e.value for e in alike])


def test_a_group_that_nobody_connects_has_no_ratings(tmp_path: Path) -> None:
    rows = [battle(f"q{i}", a, b, w) for a, b in (("w", "x"), ("y", "z")) for i, w in enumerate(("model_a", "model_b"))]
    play = play_of(read(tmp_path / "v.jsonl", *rows), DRAWS)
    assert rate(play, counted=True).elo is None
    summary = summarise(play, None, "w", with_length_control=False)
    assert any("no chain of comparisons" in note for note in summary.notes)


def test_files_of_a_tool_are_joined_by_prompt_system_and_rater(tmp_path: Path) -> None:
    def judged(model: str, *scores: str) -> dict[str, Any]:
        return {"question_id": "u1", "model": model, "judge": "gpt", "games": [{"score": s} for s in scores]}

    one = read(tmp_path / "a.jsonl", judged("a", "B>>A", "A>>B"), judged("a", "A=B", "A=B") | {"question_id": "u2"})
    two = read(tmp_path / "b.jsonl", judged("b", "A>>B", "B>>A") | {"question_id": "u2"}, judged("b", "A>B", "A>B"))
    both = joined([one, two])
    assert (both.systems, both.prompts, both.raters) == (("a", "b", "baseline"), ("u1", "u2"), ("gpt",))
    play = play_of(both, DRAWS)
    np.testing.assert_equal(play.rates[:, 0, 2], [1.0, 0.5])
    np.testing.assert_equal(play.rates[:, 1, 2], [0.5, 0.0])
    assert np.isnan(play.matrix[0, 1])
    again = joined([one, one])
    assert {row.repeat for row in again.rows} == {0, 1}
    np.testing.assert_equal(again.tables(), one.tables())


def test_lengths_and_peoples_labels(tmp_path: Path) -> None:
    row = {"prompt_id": "q", "system_1": "x", "system_2": "y", "preference": 1, "label": 2, "length_1": 3}
    verdicts = read(tmp_path / "v.jsonl", row, row | {"prompt_id": "r"})
    assert without_people(verdicts).raters == ("rater",)
    assert play_of(without_people(verdicts), DRAWS).matrix[0, 1] == 1.0
    other = read(tmp_path / "w.jsonl", row | {"system_2": "z", "length_1": 4, "length_2": 9})
    np.testing.assert_equal(joined([verdicts, other]).lengths, [[4.0, np.nan, 9.0], [3.0, np.nan, np.nan]])


def test_what_cannot_be_played_is_said(tmp_path: Path) -> None:
    row = {"prompt_id": "q", "system_1": "x", "system_2": "y", "preference": 1}
    with pytest.raises(DataError, match="at least two prompts"):
        play_of(read(tmp_path / "v.jsonl", row), DRAWS)
    several = read(tmp_path / "s.jsonl", row | {"output_1": "a"}, row | {"output_1": "b", "output_2": "c"})
    with pytest.raises(DataError, match="several answers of a system to one prompt; evaluate this file alone"):
        joined([several, several])
