"""Populations as they are made: by numbers, by rankings, by name and from files."""

import json

import numpy as np
import pytest

from comal.errors import ConfigError, DataError, GameError
from comal.games.populations import (
    NAMED_POPULATIONS,
    PopulationGame,
    load_population,
    named_population,
    read_population,
)


def test_weights_are_shares_and_everything_is_read_only():
    game = PopulationGame(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([3.0, 1.0]))
    np.testing.assert_allclose(game.weights, [0.75, 0.25])
    assert (game.n, game.users, game.batch, game.labels) == (2, 2, None, ("0", "1"))
    with pytest.raises(ValueError, match="read-only"):
        game.utilities[0, 0] = 2.0
    assert game.showing(5).answers_shown == 5
    assert game.answers_shown == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"utilities": np.zeros(3)}, "a row a user"),
        ({"utilities": np.zeros((0, 3))}, "a row a user"),
        ({"utilities": [["x"]]}, "utilities are numbers"),
        ({"utilities": [[1.0, np.nan]]}, "finite numbers, got nan"),
        ({"weights": [1.0, 2.0, 3.0]}, "need one for each user"),
        ({"weights": [-1.0, 2.0]}, "not negative, got -1"),
        ({"weights": [0.0, 0.0]}, "a weight above 0"),
        ({"temperature": -0.5}, "temperature are not negative"),
        ({"temperature": [0.001, 1.0]}, "user 0 has utilities 1e+03 temperatures apart, 500 at most"),
        ({"answers_shown": 0}, "whole number from 1 to 1000, got 0"),
        ({"answers_shown": 1001}, "got 1001"),
        ({"answers_shown": 2.0}, "got 2.0"),
        ({"answers_shown": True}, "got True"),
        ({"labels": ("a", "a")}, "2 different labels"),
        ({"labels": ("a",)}, "2 different labels"),
    ],
)
def test_numbers_that_make_no_population_are_refused(options, message):
    with pytest.raises(GameError, match=message.replace("+", r"\+")):
        PopulationGame(**{"utilities": np.array([[1.0, 0.0], [0.0, 1.0]])} | options)


def test_rankings_with_and_without_equals():
    game = PopulationGame.from_rankings([["b", "a", "c"], [["a", "c"], "b"]], [1, 3], labels=("a", "b", "c"))
    np.testing.assert_allclose(game.pairwise().P[0], [0.5, 0.75, 0.25 + 0.75 / 2])
    assert PopulationGame.from_rankings([["b", "a"]]).labels == ("a", "b")


@pytest.mark.parametrize(
    ("rankings", "message"),
    [
        ([], "needs a user"),
        ([["a", "b"], ["a"]], "user 2: does not rank `b`"),
        ([["a", "b"], ["a", "b", "a"]], "user 2: ranks `a` twice"),
        ([["apple", "b"], ["aple", "b"]], r"user 2: ranks `aple`, which is no answer. Did you mean `apple`\?"),
    ],
)
def test_rankings_that_are_none_are_refused(rankings, message):
    with pytest.raises(GameError, match=message):
        PopulationGame.from_rankings(rankings)


@pytest.mark.parametrize("name", NAMED_POPULATIONS)
def test_named_populations_have_a_source_and_a_first_line(name):
    game = named_population(name)
    assert game.citation
    assert game.name == name
    assert NAMED_POPULATIONS[name].__doc__
    assert game.weights.sum() == pytest.approx(1)


def test_named_populations_take_parameters():
    game = named_population("rankings:users=4,answers=3,seed=9")
    assert (game.users, game.n) == (4, 3)
    np.testing.assert_array_equal(np.sort(game.utilities, axis=1), np.tile([0.0, 1.0, 2.0], (4, 1)))
    assert (game.utilities != named_population("rankings:users=4,answers=3,seed=1").utilities).any()
    assert named_population("cycle:answers=3").pairwise().condorcet_winner() is None
    assert named_population("plackett_luce:users=2,answers=3,temperature=0.5").temperature.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("majorty", "Did you mean `majority`"),
        ("majority:shre=0.4", "no parameter `shre`"),
        ("majority:share=1.5", "need 0 < share < 1"),
        ("rankings:users=x", "users is a whole number"),
        ("rankings:users=0", "need users ≥ 1"),
        ("cycle:answers=1", "need answers ≥ 2"),
        ("plackett_luce:temperature=0", "need temperature > 0"),
    ],
)
def test_unknown_names_and_values_are_refused(spec, message):
    with pytest.raises(ConfigError, match=message):
        named_population(spec)


def written(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_json_file_of_rankings_and_utilities(tmp_path):
    users = [
        {"name": "Ada", "ranking": ["b", ["a", "c"]], "weight": 2},
        {"utilities": [0.5, 1, 0], "temperature": 0.25},
    ]
    game = read_population(written(tmp_path / "p.json", {"answers": ["a", "b", "c"], "users": users}))
    assert game.labels == ("a", "b", "c")
    np.testing.assert_allclose(game.weights, [2 / 3, 1 / 3])
    np.testing.assert_allclose(game.temperature, [0, 0.25])
    assert game.utilities[0, 0] == game.utilities[0, 2] < game.utilities[0, 1]
    assert load_population(str(tmp_path / "p.json")).name == str(tmp_path / "p.json")


def test_a_csv_file_of_utilities(tmp_path):
    path = written(tmp_path / "p.csv", "user,weight,a,temperature,b\nAda,3,1,0,2\nBen,1,5,0.5,4\n")
    game = read_population(path)
    assert game.labels == ("a", "b")
    np.testing.assert_allclose(game.utilities, [[1, 2], [5, 4]])
    np.testing.assert_allclose(game.weights, [0.75, 0.25])
    np.testing.assert_allclose(game.temperature, [0, 0.5])
    assert read_population(written(tmp_path / "q.csv", "user,a,b\nx,1,2\n")).temperature.tolist() == [0]


A = {"ranking": ["a", "b"]}


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ([1, 2], DataError, '"answers" and "users"'),
        ({"answers": ["a", "b"], "users": [A], "weights": [1]}, DataError, "and nothing else"),
        ({"answers": [], "users": [A]}, DataError, '"answers" is a list of names'),
        ({"answers": ["a", 1], "users": [A]}, DataError, '"answers" is a list of names'),
        ({"answers": ["a", "b"], "users": []}, DataError, '"users" is a list of objects'),
        ({"answers": ["a", "b"], "users": [["a", "b"]]}, DataError, "user 1: is an object"),
        (
            {"answers": ["a", "b"], "users": [A, {"rankin": ["a"]}]},
            DataError,
            "user 2: no such key `rankin`.*`ranking`",
        ),
        ({"answers": ["a", "b"], "users": [{"weight": 1}]}, DataError, 'either "ranking" or "utilities"'),
        ({"answers": ["a", "b"], "users": [A | {"utilities": [1, 2]}]}, DataError, "either"),
        ({"answers": ["a", "b"], "users": [{"ranking": "ab"}]}, DataError, '"ranking" is a list of answers'),
        ({"answers": ["a", "b"], "users": [{"ranking": ["a", 2]}]}, DataError, '"ranking" is a list of answers'),
        ({"answers": ["a", "b"], "users": [{"ranking": ["a"]}]}, GameError, "user 1: does not rank `b`"),
        ({"answers": ["a", "b"], "users": [A | {"temperature": 1}]}, DataError, "no meaning for a ranking"),
        ({"answers": ["a", "b"], "users": [A | {"weight": "2"}]}, DataError, '"weight" holds numbers'),
        ({"answers": ["a", "b"], "users": [A | {"weight": True}]}, DataError, '"weight" holds numbers'),
        ({"answers": ["a", "b"], "users": [A | {"weight": -2}]}, GameError, "not negative"),
        ({"answers": ["a", "b"], "users": [{"utilities": [1]}]}, DataError, "a list of 2 numbers"),
        ({"answers": ["a", "b"], "users": [{"utilities": [1, None]}]}, DataError, '"utilities" holds numbers'),
        ({"answers": ["a", "b"], "users": [{"utilities": [1, 10**400]}]}, DataError, "too large"),
        ({"answers": ["a", "a"], "users": [{"utilities": [1, 2]}]}, GameError, "different labels"),
    ],
)
def test_json_files_that_hold_no_population_are_refused(content, error, message, tmp_path):
    with pytest.raises(error, match=message):
        read_population(written(tmp_path / "p.json", content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user,a,b\n", "one row for each user"),
        ("user,a,,b\nx,1,2,3\n", "column 3 has no name"),
        ("user,a,b\nx,1\n", r"p.csv:2: 2 cells under 3 columns"),
        ("user,a,b\nx,1,two\n", "every cell but the user's name is a number"),
        ("user,weight\nx,1\n", "no column of an answer's utilities"),
    ],
)
def test_csv_files_that_hold_no_population_are_refused(content, message, tmp_path):
    with pytest.raises(DataError, match=message):
        read_population(written(tmp_path / "p.csv", content))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"a .csv or .json file"):
        read_population(tmp_path / "p.npy")
    with pytest.raises(ConfigError, match="neither a named population nor a file"):
        load_population("nobody")
    with pytest.raises(DataError):
        load_population(str(tmp_path / "missing.json"))
