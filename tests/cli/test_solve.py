import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import command_line
from command_line import refused
from random_games import random_table

MATRICES = Path(__file__).parents[2].parent / "shared" / "data" / "preference_matrices"
PNG = b"\x89PNG"


def comal(*arguments):
    return command_line.comal("solve", *arguments)


def as_json(*arguments):
    outcome = comal(*arguments, "--json")
    return outcome, json.loads(outcome.stdout)


def test_json_is_one_object_with_everything():
    outcome, found = as_json("paper")
    assert outcome.exit_code == 0
    assert found["policy"] == pytest.approx([4 / 11, 3 / 11, 4 / 11], abs=1e-12)
    assert found["labels"] == ["a", "b", "c"]
    assert (found["game"], found["n"], found["algorithm"]) == ("paper", 3, "central path")
    assert found["duality_gap"] <= 1e-8
    assert found["converged"] is True
    assert found["products"] > 0
    assert found["seconds"] > 0
    assert found["condorcet_winner"] is None
    assert found["settings"] == {}


def test_settings_are_told_back():
    _, found = as_json("paper", "--set", "inner.name=inpo", "--set", "inner.eta=0.15", "--set", "inner.tau=0.1")
    assert found["settings"] == {"inner": {"name": "inpo", "eta": 0.15, "tau": 0.1}}


def test_matrix_games_need_no_torch():
    code = (
        "import sys; from comal.cli import app; "
        "app(['solve', 'paper', '--json'], standalone_mode=False); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0


def test_people_read_the_policy_the_gap_and_the_winner():
    text = comal("condorcet:n=4,margin=0.1").stdout
    assert text.splitlines()[1].split() == ["0", "1.000000"]
    assert "Condorcet winner  0" in text
    assert "converged" in text
    assert "Condorcet winner  none" in comal("paper").stdout


def test_long_policies_are_shown_without_their_zeros():
    text = comal("random:n=40,seed=1").stdout
    assert "answers with probability 0" in text
    shown = [line for line in text.splitlines() if line and line.split()[0].isdigit()]
    assert 0 < len(shown) < 40
    assert sum(float(line.split()[1]) for line in shown) == pytest.approx(1, abs=1e-4)


def test_labels_are_printed_as_they_are(tmp_path):
    (tmp_path / "g.csv").write_text(",[red]x,y\n[red]x,0.5,0.7\ny,0.3,0.5\n")
    assert "[red]x" in comal(tmp_path / "g.csv").stdout


@pytest.mark.parametrize("name", ["soccer", "rrps", "wmt16_fin_eng"])
def test_measured_matrices_without_any_option(name):
    if not (MATRICES / f"{name}.csv").exists():
        pytest.skip(f"{MATRICES / name}.csv is not here")
    outcome, found = as_json(MATRICES / f"{name}.csv")
    assert outcome.exit_code == 0
    assert found["duality_gap"] <= 1e-8


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--algorithm", "mwu", "--set", "eta=0.5", "--max-products", "100"], 3),
        (["--algorithm", "inpo", "--set", "eta=0.15", "--set", "tau=1e-1", "--max-products", "100"], 3),
        (
            ["--set", "inner.name=inpo", "--set", "inner.eta=0.15", "--set", "inner.tau=0.1", "--start", "0.2,0.5,0.3"],
            0,
        ),
        (["--set", "tau=0.2"], 0),
        (["--algorithm", "omwu", "--set", "eta=1"], 0),
        (["--gap", "0.3"], 0),
    ],
)
def test_the_exit_status_says_whether_it_converged(arguments, code):
    outcome, found = as_json("paper", "--start", "0.2,0.5,0.3", *arguments)
    assert outcome.exit_code == code
    assert found["converged"] == (code == 0)
    assert ("not converged" in outcome.stderr) == (code == 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["paper", "--algorithm", "inpoo"], "`inpoo` is not an algorithm. Did you mean `inpo`?"),
        (["paper", "--algorithm", "central path", "--set", "tau=0.1"], "`central path` is not an algorithm"),
        (["paper", "--algorithm", "inpo"], "algorithm.eta: `inpo` needs a value"),
        (
            ["paper", "--algorithm", "mwu", "--set", "eat=1"],
            "algorithm.eat: `mwu` has no such option. Did you mean `eta`?",
        ),
        (["paper", "--algorithm", "mwu", "--set", "eta=fast"], "algorithm.eta"),
        (["paper", "--algorithm", "inpo", "--set", "eta=500", "--set", "tau=.1"], "need 0 < eta·tau ≤ 1"),
        (["paper", "--set", "eta"], "`eta` is not key=value"),
        (["papre"], "`papre` is neither a named game nor a file. Did you mean `paper`?"),
        (["nothing.csv"], "nothing.csv: no such file"),
        (["paper", "--start", "a,b"], "--start"),
        (["paper", "--start", "0.5,0.5"], "start: need one probability for each of the 3 answers"),
        (["paper", "--plot", "figure.xyz"], "figure.xyz: the figure cannot be written"),
        (["paper", "--gap", "nan"], "gap"),
    ],
)
def test_bad_input_is_one_message_and_status_2(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = comal(*arguments)
    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    assert message in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert len(outcome.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda P: P.__setitem__((1, 2), np.nan), "P[1, 2] is nan"),
        (lambda P: P.__setitem__((1, 2), P[1, 2] + 0.1), "must be 1 but is"),
        (lambda P: P.__setitem__((1, 2), 1.5), "not a probability"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "npy", "json"])
def test_tables_with_one_wrong_cell(change, message, suffix, tmp_path):
    P = 0.25 + random_table(4, seed=1) / 2
    change(P)
    path = tmp_path / f"game.{suffix}"
    if suffix == "npy":
        np.save(path, P)
    elif suffix == "json":
        path.write_text(json.dumps(P.tolist()))
    else:
        rows = [",".join(["", *"0123"])] + [",".join([str(i), *map(str, row)]) for i, row in enumerate(P)]
        path.write_text("\n".join(rows))
    outcome = comal(path)
    assert outcome.exit_code == 2
    assert message in outcome.stderr


def test_a_table_that_is_not_square(tmp_path):
    np.save(tmp_path / "game.npy", np.full((2, 3), 0.5))
    outcome = comal(tmp_path / "game.npy")
    assert outcome.exit_code == 2
    assert "this one is 2 × 3" in outcome.stderr


def test_noisy_tables_are_symmetrised_on_request(tmp_path):
    (tmp_path / "g.csv").write_text(",a,b\na,0.5,0.8\nb,0.3,0.5\n")
    outcome = comal(tmp_path / "g.csv")
    assert outcome.exit_code == 2
    assert "--symmetrise" in outcome.stderr
    outcome = comal(tmp_path / "g.csv", "--symmetrise")
    assert (outcome.exit_code, outcome.stderr) == (0, "")


def test_symmetrising_what_is_no_noisy_table_is_refused(tmp_path):
    refused(comal("paper", "--symmetrise"), "--symmetrise: does nothing to a named game (paper); leave it out")
    (tmp_path / "g.json").write_text('{"labels": ["a", "b"], "wins": [[0, 7], [3, 0]]}')
    refused(
        comal(tmp_path / "g.json", "--symmetrise"),
        "--symmetrise: ",
        "holds counts, which are no two readings; leave it out",
    )
    assert comal(tmp_path / "g.json").exit_code == 0


def test_a_batch_is_sent_to_python(tmp_path):
    np.save(tmp_path / "batch.npy", np.full((2, 3, 3), 0.5))
    outcome = comal(tmp_path / "batch.npy")
    assert outcome.exit_code == 2
    assert "comal.games.solve" in outcome.stderr


@pytest.mark.parametrize("game", ["paper", "random:n=9"])
def test_plots_go_to_the_file_and_nothing_to_stdout(game, tmp_path):
    outcome, _ = as_json(game, "--plot", tmp_path / "new" / "figure.png")
    assert outcome.exit_code == 0
    assert (tmp_path / "new" / "figure.png").read_bytes().startswith(PNG)


def test_a_population_that_is_shown_several_answers():
    outcome, found = as_json("majority:share=0.51", "--answers-shown", 2)
    assert outcome.exit_code == 0
    assert (found["population"], found["users"], found["answers_shown"]) == ("majority:share=0.51", 2, 2)
    assert found["gap"] <= found["gap_asked_for"] == 1e-8
    assert found["draws_win_rate"] == pytest.approx(2 / 3, abs=1e-7)
    assert found["best_in_general"] == pytest.approx(2 / 3)
    assert found["policy"] == pytest.approx([0.53, 0.47], abs=1e-6)
    text = comal("majority:share=0.51", "--answers-shown", 2).stdout
    assert "0.666667 of 2 draws against any single answer; 2/3 is the most in general" in text


def test_a_population_from_a_file_with_settings_of_ones_own(tmp_path):
    path = tmp_path / "readers.json"
    path.write_text('{"answers": ["[red]x", "y"], "users": [{"ranking": ["y", "[red]x"]}, {"utilities": [2, 1]}]}')
    inner = ["--set", "inner.name=inpo", "--set", "inner.eta=1", "--set", "inner.tau=0.1", "--set", "inner_steps=20"]
    outcome = comal(path, "--answers-shown", 3, *inner, "--start", "0.9,0.1")
    assert outcome.exit_code == 0
    assert "[red]x" in outcome.stdout
    gave_up = comal(path, "--answers-shown", 3, *inner, "--start", "0.9,0.1", "--max-products", 5)
    assert gave_up.exit_code == 3
    assert "without --algorithm and --set every game is solved" in gave_up.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["majority"], "game: `majority` is a population; say how many answers its users are shown: --answers-shown 1"),
        (["majority", "--answers-shown", 2, "--wins"], "--wins: is for preference tables"),
        (["majority", "--answers-shown", 2, "--symmetrise"], "--symmetrise: is for preference tables"),
        (["majority", "--answers-shown", 2, "--prior", 1], "--prior: is for preference tables"),
        (["majority", "--answers-shown", 2, "--plot", "x.png"], "--plot: draws games of two players"),
        (["paper", "--answers-shown", 2], "population: `paper` is neither a named population nor a file"),
        (["cycle", "--answers-shown", 2, "--set", "tau=0.1", "--start", "1,0,0"], "needs a preference table"),
        (["cycle", "--answers-shown", 2, "--start", "1,0"], "3 answers"),
    ],
)
def test_what_a_population_cannot_take_is_refused(arguments, message):
    refused(comal(*arguments), message)


def test_a_populations_file_without_a_number_of_answers_is_told_apart(tmp_path):
    path = tmp_path / "readers.json"
    path.write_text('{"answers": ["x", "y"], "users": [{"ranking": ["y", "x"]}]}')
    refused(comal(path), "holds a population; say how many answers its users are shown: --answers-shown 1")
