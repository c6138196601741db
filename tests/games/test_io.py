import json

import numpy as np
import pytest

from comal.errors import ComalError, ConfigError, DataError, GameError
from comal.games import load_game, named_game, nash_policy, read_game
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


UNEVEN = [[0, 3, 2], [2, 0, 51], [3, 50, 0]]
"""3:2, 51:50 and 3:2 matches: win rates 3/5, 51/101 and 3/5, so A = P − ½ is a weighted rock-paper-scissors."""


def test_counts_from_a_csv(tmp_path):
    """Nash of A with a_12 = .1, a_23 = 1/202, a_31 = .1 is (a_23, a_31, a_12) over their sum: (1, 20.2, 20.2)/41.4."""
    text = ",a,b,c\n" + "".join(f"{x},{','.join(map(str, row))}\n" for x, row in zip("abc", UNEVEN, strict=True))
    path = written(tmp_path, "wins.csv", text)
    np.testing.assert_allclose(nash_policy(read_game(path, wins=True)), np.array([1, 20.2, 20.2]) / 41.4, atol=1e-9)
    for options in ({}, {"symmetrise": True}):
        with pytest.raises(GameError, match=r"not a probability.*--wins"):
            read_game(path, **options)


def test_pairs_that_never_met_are_even_under_a_prior(tmp_path):
    path = written(tmp_path, "wins.csv", ",a,b,c\na,0,3,0\nb,1,0,0\nc,0,0,0\n")
    with pytest.raises(GameError, match=r"\[a, c\] were never compared; give a prior, e.g. --prior 0.5"):
        read_game(path, wins=True)
    P = read_game(path, wins=True, prior=0.5).P
    assert P[0, 1] == (3 + 0.5) / (4 + 1)
    assert P[0, 2] == P[1, 2] == 0.5
    with pytest.raises(GameError, match="a prior of -1"):
        read_game(path, wins=True, prior=-1)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,0,6\nb,5,0\n", "--wins"),
        ("a,50,50.3\nb,49.7,50\n", "per cent"),
        ("a,0,1\nb,-1,0\n", "payoffs"),
        ("a,0,0.4\nb,-0.4,0\n", "payoffs"),
        ("a,0.5,1.4\nb,0.9,0.5\n", "not a probability"),
        ("a,0,0\nb,0,0\n", "wins are read with --wins"),
        ("a,0.5,0.7\nb,0,0.5\n", "one half of the table is all zeros"),
        ("a,0,0.7\nb,0.2,\n", "a cell is empty; .*an answer against itself is 0.5"),
        ("a,-,0.7\nb,0.2,-\n", "`-` is no number"),
        ('a,"0,5","0,7"\nb,0.3,0.5\n', "`0,5` is no number; .* with a point for decimals"),
    ],
)
def test_only_probabilities_are_symmetrised(tmp_path, rows, message):
    with pytest.raises(ComalError, match=message):
        read_game(written(tmp_path, "t.csv", ",a,b\n" + rows), symmetrise=True)


def test_a_pair_that_was_never_filled_in_is_not_made_even(tmp_path):
    """0 both ways averages to 1/2; on a diagonal of halves it is what a judge with a favourite position says."""
    rows = ",a,b,c\na,{0},0.7,0\nb,0.2,{0},0.6\nc,0,0.3,{0}\n"
    with pytest.raises(GameError, match="holds pairs that are 0 both ways, and zeros on its diagonal"):
        read_game(written(tmp_path, "t.csv", rows.format(0)), symmetrise=True)
    assert read_game(written(tmp_path, "t.csv", rows.format(0.5)), symmetrise=True).P[0, 2] == 0.5


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_a_table_rounded_by_storage_is_accepted_and_a_slip_is_not(tmp_path, kind):
    """Single precision makes .6 + .4 = 1.00000003; any other reason puts such numbers further off."""
    table = np.array([[0.5, 0.6, 0.3], [0.4, 0.5, 0.7], [0.7, 0.3, 0.5]], dtype=kind)
    np.save(tmp_path / "t.npy", table)
    written(tmp_path, "t.json", json.dumps(table.tolist()))
    for name in ("t.npy", "t.json"):
        P = read_game(tmp_path / name).P
        np.testing.assert_allclose(P + P.T, 1, atol=1e-15)
        np.testing.assert_allclose(P[0, 1], 0.6, atol=np.finfo(kind).eps)
    table[0, 1] = np.nextafter(np.nextafter(table[0, 1], kind(1)), kind(1))
    np.save(tmp_path / "t.npy", table)
    with pytest.raises(GameError, match="must be 1"):
        read_game(tmp_path / "t.npy")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "0.5,0.5\n0.5,0.5\n", "begins with the number 0.5; expected labels"),
        ("a.csv", ",a,b,\na,0.5,0.6,\nb,0.4,0.5,\n", "label 3 is empty"),
        ("a.csv", ";a;b\na;0,5;0,6\nb;0,4;0,5\n", "separated by semicolons"),
        ("a.csv", "\ta\tb\na\t0.5\t0.6\n", "separated by tabs"),
        ("a.json", "[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ("a.json", '{"wins": [[0, 1%s], [1, 0]]}' % ("0" * 5000), "more digits"),
        ("a.json", '{"wins": [[0, 1%s], [1, 0]]}' % ("0" * 400), "rectangle of numbers"),
        ("a.json", '[[0.5, "0.6"], [0.4, 0.5]]', "rectangle of numbers, got '0.6'"),
        ("a.json", "[[0.5, true], [false, 0.5]]", "got 'True'"),
        ("a.json", '{"P": [[0.5]], "P": [[0.5]]}', "`P` is there twice"),
        ("a.json", '{"P": [[0.5, 0.6], [0.4, 0.5]], "labels": []}', "empty list"),
    ],
)
def test_tables_that_are_no_numbers(tmp_path, name, content, message):
    with pytest.raises(ComalError, match=message):
        read_game(written(tmp_path, name, content))


def test_long_labels_and_other_encodings(tmp_path):
    label = "x" * 140_000
    text = f",{label},b\n{label},0.5,0.4\nb,0.6,0.5\n"
    assert read_game(written(tmp_path, "long.csv", text)).labels == (label, "b")
    (tmp_path / "utf16.csv").write_bytes(CSV.encode("utf-16"))
    assert read_game(tmp_path / "utf16.csv").labels == ("a", "b")
    (tmp_path / "latin1.csv").write_bytes(CSV.replace("a", "\xe9").encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8 at byte 1"):
        read_game(tmp_path / "latin1.csv")


def test_arrays_of_no_real_numbers(tmp_path):
    for number, array in enumerate((np.full((2, 2), 0.5 + 1j), np.array([["0.5", "0.6"], ["0.4", "0.5"]]))):
        np.save(tmp_path / f"{number}.npy", array)
        with pytest.raises(DataError, match="not an NPY array of real numbers"):
            read_game(tmp_path / f"{number}.npy")
    np.savez(tmp_path / "a.npz", np.full((2, 2), 0.5))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(DataError, match="archive"):
        read_game(tmp_path / "a.npy")
    np.save(tmp_path / "torn.npy", np.full((50, 50), 0.5))
    (tmp_path / "torn.npy").write_bytes((tmp_path / "torn.npy").read_bytes()[:-100])
    with pytest.raises(DataError, match="not an NPY array"):
        read_game(tmp_path / "torn.npy")
