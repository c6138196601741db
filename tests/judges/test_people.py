import json
from pathlib import Path

import pytest

from comal.errors import ConfigError, JudgeError
from comal.judges.asking.answers_shown import win_rates_against_draws
from comal.judges.asking.users import Users
from comal.judges.base import Comparison
from comal.judges.people import People
from comal.judges.population import Population
from comal.plugins import JUDGES

PANDALM = Path(__file__).parents[3] / "shared/data/pandalm/testset-v1.json"
ROWS = [
    {"prompt": "p", "first": "a", "second": "b", "ada": "first", "grace": "second"},
    {"prompt": "p", "first": "c", "second": "b", "ada": "tie", "grace": None},
    {"prompt": "p", "first": "a", "second": "c", "ada": "first", "grace": "first"},
]
TRIPLE = [Comparison("p", "a", "b"), Comparison("p", "b", "c"), Comparison("p", "c", "a")]


def written(folder, rows, name="people.jsonl"):
    path = folder / name
    lines = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(lines, encoding="utf-8")
    return str(path)


def test_a_persons_verdicts_are_found_in_both_orders_and_others_are_none(tmp_path):
    file = written(tmp_path, ROWS)
    assert People(file, "ada").compare([*TRIPLE, Comparison("q", "a", "b")]) == [1.0, 0.5, 0.0, None]
    assert People(file, "grace").compare(TRIPLE) == [0.0, None, 0.0]


def test_asked_again_a_person_has_the_mean_and_answers_that_are_no_texts_are_passed_over(tmp_path):
    again = {"prompt": "p", "first": "b", "second": "a", "ada": "first"}
    file = written(tmp_path, [*ROWS, again, ROWS[0], ROWS[0] | {"second": True}])
    assert People(file, "ada").compare(TRIPLE[:1]) == [pytest.approx(2 / 3)]


def test_all_formats_say_the_same(tmp_path):
    lines = People(written(tmp_path, ROWS), "ada")
    array = People(written(tmp_path, json.dumps(ROWS), "people.json"), "ada")
    table = "prompt,first,second,ada,grace\n" + "".join(
        ",".join(str(cell or "") for cell in row.values()) + "\n" for row in ROWS
    )
    cells = People(written(tmp_path, table, "people.csv"), "ada")
    assert lines.compare(TRIPLE) == array.compare(TRIPLE) == cells.compare(TRIPLE)


def test_what_the_file_says_and_not_where_it_lies_is_the_identity(tmp_path):
    first, second = People(written(tmp_path, ROWS), "ada"), People(written(tmp_path, ROWS, "moved.jsonl"), "ada")
    assert first.fingerprint() == second.fingerprint() != People(first.file, "grace").fingerprint()
    before = second.fingerprint()
    written(tmp_path, ROWS[:2], "moved.jsonl")
    assert second.fingerprint() != before


@pytest.mark.parametrize(
    ("rows", "person", "told"),
    [
        (ROWS, "Ada", "no column `Ada`. Did you mean `ada`?"),
        ([{"prompt": "p", "first": "a", "ada": "first"}], "ada", "no column `second`"),
        ([ROWS[0] | {"ada": 1}], "ada", "`ada` says 1; need one of first, second, tie, as `marks` says"),
        ([ROWS[0] | {"first": ["a"]}], "ada", "`first` should be a text"),
        ([ROWS[0] | {"ada": None}], "ada", "`ada` has no verdict in it"),
        ("[1]", "ada", "expected an object"),
        ("", "ada", "no rows"),
        ("{", "ada", "not JSON"),
    ],
)
def test_what_is_no_file_of_people_is_said(tmp_path, rows, person, told):
    judge = People(written(tmp_path, rows), person)
    for ask in (judge.check, lambda: judge.compare(TRIPLE)):
        with pytest.raises(JudgeError) as caught:
            ask()
        assert told in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(JudgeError, match=r"absent\.json.*no such file"):
        People(str(tmp_path / "absent.json"), "ada").check()


@pytest.mark.parametrize(
    ("options", "told"),
    [({"person": "first"}, "four different columns"), ({"marks": ["a", "a", "b"]}, "three different ones")],
)
def test_settings_that_cannot_be_used_are_named(options, told):
    with pytest.raises(ConfigError) as caught:
        JUDGES.build({"name": "people", "file": "f", "person": "ada"} | options, "judge")
    assert told in str(caught.value)


@pytest.mark.skipif(not PANDALM.is_file(), reason="no PandaLM data here")
def test_three_real_people_are_a_population():
    """Their mean on each pair is the mean of their marks; shown two answers at once they are asked pair by pair."""
    columns = {"prompt": "instruction", "first": "response1", "second": "response2", "marks": ("1", "2", "0")}
    people = tuple(People(str(PANDALM), f"annotator{n}", **columns) for n in (1, 2, 3))
    population = Population(people)
    rows = json.loads(PANDALM.read_text(encoding="utf-8"))[:40]
    for row in rows:
        if row["response1"] == row["response2"]:
            continue
        prompt = row["instruction"] + (f"\n\n{row['input']}" if row["input"].strip() else "")
        worth = {1: 1.0, 2: 0.0, 0: 0.5}
        expected = sum(worth[row[f"annotator{n}"]] for n in (1, 2, 3)) / 3
        assert population.compare([Comparison(prompt, row["response1"], row["response2"])]) == [pytest.approx(expected)]
        users = Users(population)
        table = users.all_pairs([prompt], [[row["response1"], row["response2"]]])[0]
        assert win_rates_against_draws(table, 1)[0] == pytest.approx(expected)
