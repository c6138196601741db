import json

import numpy as np
import pytest

from comal.errors import ComalError, ConfigError, DataError, GameError
from comal.games import load_game, named_game, read_game
from random_games import random_table

CSV = ",a,b\na,0.5,0.7\nb,0.3,0.5\n"


def written(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return path


def test_csv(tmp_path):
    game = read_game(written(tmp_path, "game.csv", CSV))
    assert game.labels == ("a", "b")
    np.testing.assert_array_equal(game.P, [[0.5, 0.7], [0.3, 0.5]])


def test_csv_of_a_spreadsheet(tmp_path):
    """A byte order mark, blanks, quoted labels with commas and Windows line ends."""
    content = '\ufeff,"a, b", c \r\n"a, b", 0.5 ,0.7\r\n c ,0.3,0.5\r\n\r\n'
    assert read_game(written(tmp_path, "game.csv", content)).labels == ("a, b", "c")


@pytest.mark.parametrize(
    "content",
    [
        [[0.5, 0.7], [0.3, 0.5]],
        {"P": [[0.5, 0.7], [0.3, 0.5]], "labels": ["a", "b"]},
        {"wins": [[0, 7], [3, 0]], "labels": ["a", "b"]},
    ],
)
def test_json(tmp_path, content):
    game = read_game(written(tmp_path, "game.json", json.dumps(content)))
    assert game.P[0, 1] == 0.7
    assert game.labels in (("a", "b"), ("0", "1"))


def test_npy_of_one_game_and_of_a_batch(tmp_path):
    table = random_table(4, seed=1)
    np.save(tmp_path / "one.npy", table)
    np.save(tmp_path / "two.npy", np.stack([table, table.T]))
    np.testing.assert_array_equal(read_game(tmp_path / "one.npy").P, table)
    assert read_game(tmp_path / "two.npy").batch == 2


def test_a_table_rounded_in_print_is_accepted_and_a_slip_is_not(tmp_path):
    """Two numbers rounded to 8 decimals may add up to 1 ± 1e-8, never to 1 ± 1e-6; 2 decimals are too few to tell."""
    rounded = ",a,b\na,0.5,0.54126451\nb,0.45873548,0.5\n"
    assert read_game(written(tmp_path, "rounded.csv", rounded)).P.sum() == pytest.approx(2, abs=1e-15)
    for content in (rounded.replace("48", "58"), ",a,b\na,0.5,0.54\nb,0.45,0.5\n"):
        with pytest.raises(GameError, match=r"P\[a, b\] \+ P\[b, a\] must be 1"):
            read_game(written(tmp_path, "slip.csv", content))


def test_noisy_tables_are_symmetrised_on_request(tmp_path):
    path = written(tmp_path, "noisy.csv", CSV.replace("0.7", "0.9"))
    with pytest.raises(GameError):
        read_game(path)
    assert read_game(path, symmetrise=True).P[0, 1] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "expected a row of labels"),
        ("a.csv", CSV.replace("0.3", "low"), r"a.csv:3: .*low"),
        ("a.csv", CSV.replace("0.3", "nan"), r"P\[b, a\] is nan"),
        ("a.csv", CSV.replace("0.3", ""), r"a.csv:3"),
        ("a.csv", CSV.replace("0.3,", ""), r"a.csv:3: 1 numbers in a table of 2 labels"),
        ("a.csv", ",a,b\na,0.5,0.7\n", "1 rows and 2 columns"),
        ("a.csv", CSV.replace("\nb,", "\nc,"), r"a.csv:3: row 'c' where column order says 'b'"),
        ("a.csv", CSV.replace("b", "a"), "'a' occurs 2 times"),
        ("a.json", "{", r"a.json:1: not JSON"),
        ("a.json", '{"Q": []}', '"P" or "wins"'),
        ("a.json", '{"P": [[0.5]], "labels": "x"}', '"labels" is a list'),
        ("a.json", "[[0.5, 0.2], [0.5]]", "rectangle"),
        ("a.npy", "hello", "not an NPY array"),
        ("a.npy", "", "not an NPY array"),
        ("a.txt", "hello", "a game is a .csv, .json or .npy file"),
    ],
)
def test_files_that_are_no_game(tmp_path, name, content, message):
    with pytest.raises(ComalError, match=message):
        load_game(str(written(tmp_path, name, content)))


def test_pickled_arrays_are_not_opened(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="not an NPY array"):
        read_game(tmp_path / "a.npy")


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        load_game(str(tmp_path / "nothing.csv"))
    with pytest.raises(ComalError):
        load_game(str(tmp_path))
    with pytest.raises(ConfigError, match="neither a named game nor a file"):
        load_game("nothing")


def test_a_name_is_a_game_even_where_a_file_is_called_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "paper", CSV)
    np.testing.assert_array_equal(load_game("paper").P, named_game("paper").P)
    with pytest.raises(DataError, match=r"a game is a \.csv"):
        load_game("./paper")
