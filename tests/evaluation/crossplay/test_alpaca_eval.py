import csv
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pytest

from comal.errors import DataError
from comal.evaluation.crossplay.alpaca_eval import (
    LEADERBOARD,
    annotation_rows,
    common_prompts,
    leaderboard_csv,
    leaderboard_row,
    matrix_csv,
    output_rows,
    parse_outputs,
)
from comal.evaluation.crossplay.crossplay import from_tables
from comal.evaluation.intervals import Bootstrap
from comal.games import read_game

DATA = Path(__file__).parents[3].parent / "shared" / "data" / "alpaca_eval"


def rows(*values):
    return [(f"file:{number}", value) for number, value in enumerate(values, start=1)]


def row(instruction="x", output="a", **more):
    return {"instruction": instruction, "output": output, "generator": "g"} | more


def test_systems_and_repeated_instructions_are_told_apart() -> None:
    one, two = parse_outputs(
        rows(row(), row("y", "b", dataset="d"), row(generator="h"), row(output="c")), default_name="file"
    )
    assert (one.generator, two.generator) == ("g", "h")
    assert one.answers == {"x": ("a", "c"), "y": ("b",)}
    assert one.extra["y"] == {"dataset": "d"}


def test_a_file_without_generators_is_named_after_itself() -> None:
    (found,) = parse_outputs(rows({"instruction": "x", "output": "a"}), "mine")
    assert found.generator == "mine"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([{"instruction": "x", "outputs": "a"}], "file:1: there is no `output`.* Did you mean `outputs`"),
        ([row(), {"output": "a"}], "file:2: there is no `instruction`"),
        ([row(output=None)], "file:1: `output` should be a text, got 'None'"),
        ([row(instruction=" ")], "file:1: `instruction` is empty"),
        ([row(), row("y", " "), row("z", "")], "file:2: 2 of 3 outputs are empty .file:2, file:3.*--allow-empty"),
        (["text"], "file:1: expected an object with instruction, output, generator"),
        ([], "the file has no rows"),
    ],
)
def test_broken_rows_are_named(values, message) -> None:
    with pytest.raises(DataError, match=message):
        parse_outputs(rows(*values), "file")


def test_empty_outputs_are_judged_on_request() -> None:
    (found,) = parse_outputs(rows(row(output="")), "file", allow_empty=True)
    assert found.answers == {"x": ("",)}


def play():
    """x: b's answer wins .9, .4 against a's two (mean .65); y: no verdict. c beats a .5 and b .2 on both."""
    nan = float("nan")
    tables = {
        (0, 1): [np.array([[0.1], [0.6]]), np.array([[nan], [nan]])],
        (0, 2): [np.full((2, 1), 0.5)] * 2,
        (1, 2): [np.array([[0.8]])] * 2,
    }
    return from_tables(["a", "b", "c"], ["x", "y"], tables, Bootstrap(20))


ANSWERS = {"a": [["a1", "a2"], ["a3", "a4"]], "b": [["b1"], ["b2"]], "c": [["c1"], ["c2"]]}


def test_annotations_put_the_baseline_first() -> None:
    found = annotation_rows(play(), ANSWERS, "judge", baseline=1, extra={"x": {"dataset": "d"}})
    assert len(found) == 4 + 4 + 2
    first = found[0]
    assert first == {
        "dataset": "d", "instruction": "x", "output_1": "b1", "generator_1": "b", "output_2": "a1", "generator_2": "a",
        "annotator": "judge", "preference": pytest.approx(1.1),
    }  # fmt: skip
    assert found[2]["preference"] is None, "no verdict is no number"
    assert [f["preference"] for f in found if f["generator_2"] == "c" and f["generator_1"] == "b"] == [1.2, 1.2]
    assert [f["output_2"] for f in found if f["generator_1"] == "a"] == ["c1"] * 2 + ["c2"] * 2
    json.dumps(found, allow_nan=False)


def test_annotations_and_win_rates_agree() -> None:
    """The mean of preference − 1 is the win rate, for each pair on each prompt."""
    found, cross = annotation_rows(play(), ANSWERS, "j", 0, {}), play()
    for j, other in ((1, "b"), (2, "c")):
        values = [f["preference"] - 1 for f in found if f["generator_2"] == other and f["generator_1"] == "a"
                  and f["instruction"] == "x"]  # fmt: skip
        assert np.mean(values) == pytest.approx(cross.rates[0, j, 0])


def test_a_leaderboard_row_by_hand() -> None:
    """Preferences 1, .5, .2, none: mean .5667, two decided 1 : 1, discrete (1 + 1/2)/3, sd sqrt(.163333)."""
    found = leaderboard_row(np.array([1.0, 0.5, 0.2, np.nan]), 123.9, None)
    assert tuple(found) == LEADERBOARD
    assert found["win_rate"] == pytest.approx(170 / 3)
    assert found["standard_error"] == pytest.approx(100 * np.sqrt(0.1633333) / np.sqrt(3), rel=1e-5)
    assert (found["n_wins"], found["n_wins_base"], found["n_draws"], found["n_total"]) == (1, 1, 1, 3)
    assert found["discrete_win_rate"] == pytest.approx(50)
    assert found["avg_length"] == 123
    assert found["length_controlled_winrate"] is None
    assert leaderboard_row(np.array([np.nan]), 1.0, None)["win_rate"] is None


def test_the_leaderboard_is_sorted_and_readable() -> None:
    table = {name: leaderboard_row(np.array([rate, rate]), 5, None) for name, rate in (("l", 0.2), ('w, "', 0.7))}
    first, second = csv.DictReader(io.StringIO(leaderboard_csv(table)))
    assert (first[""], second[""]) == ('w, "', "l")
    assert float(first["win_rate"]) == pytest.approx(70)
    assert first["length_controlled_winrate"] == ""


def test_the_matrix_is_read_back_as_a_game(tmp_path) -> None:
    (tmp_path / "matrix.csv").write_text(matrix_csv(play()))
    game = read_game(tmp_path / "matrix.csv")
    assert game.labels == ("a", "b", "c")
    assert pytest.approx(play().matrix) == game.P


def test_outputs_are_written_as_they_were_read() -> None:
    values = [row(dataset="d"), row("y", "b"), row("y", "c")]
    (found,) = parse_outputs(rows(*values), "file")
    again = output_rows("g", list(found.answers), list(found.answers.values()), found.extra)
    assert parse_outputs(rows(*again), "file") == [found]


def test_systems_with_other_instructions_are_refused_by_name() -> None:
    systems = [("p", ["x", "y", "z"]), ("q", ["z", "x"])]
    with pytest.raises(DataError, match=r"q: has no answer to 1 of the 3 instructions.*such as 'y'.*--intersection"):
        common_prompts(systems, intersection=False, explain=pytest.fail)
    said = []
    assert common_prompts(systems, intersection=True, explain=said.append) == ["x", "z"]
    assert said == ["1 of 3 instructions are left out: not all systems answer them"]
    with pytest.raises(DataError, match="no instruction in common"):
        common_prompts([("p", ["x"]), ("q", ["y"])], intersection=True, explain=said.append)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is absent")
def test_real_model_outputs_are_read() -> None:
    plain = json.loads(gzip.decompress((DATA / "claude-2.1_outputs.json.gz").read_bytes()))
    (found,) = parse_outputs(rows(*plain), "file")
    assert found.generator == "claude-2.1"
    assert len(found.answers) == 805


def test_an_input_belongs_to_the_instruction_and_is_written_once(tmp_path) -> None:
    given = [row("Translate.", f"a:{x}", input=x, dataset="d", score=float("nan")) for x in ("the cat", "", None)]
    (system,) = parse_outputs(rows(*given), "a", allow_empty=False)
    assert list(system.answers) == ["Translate.\n\nthe cat", "Translate."]
    assert system.answers["Translate."] == ("a:", "a:None")
    again = output_rows("a", list(system.answers), list(system.answers.values()), system.extra)
    assert again[0] == {
        "instruction": "Translate.\n\nthe cat", "output": "a:the cat", "generator": "a", "dataset": "d", "score": None,
    }  # fmt: skip
    (read_again,) = parse_outputs(rows(*again), "a", allow_empty=False)
    assert read_again.answers == system.answers


def test_an_input_that_is_no_text_and_tools_are_refused() -> None:
    for extra, message in (({"input": [1]}, "`input` should be a text"), ({"tools": [{}]}, "part of the question")):
        with pytest.raises(DataError, match=message):
            parse_outputs(rows(row(**extra)), "a", allow_empty=False)
