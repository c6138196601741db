import json

import pytest

import command_line
from comal.experiments.matrix_games.family import METHODS


def synthetic(*arguments):
    return command_line.comal("reproduce", "synthetic", *arguments)


def test_only_comal_reaches_the_nash_policy(tmp_path):
    outcome = synthetic("--output", tmp_path / "s.png", "--json")
    assert outcome.exit_code == 0
    gaps = {m["name"]: m["duality_gap"] for m in json.loads(outcome.stdout)["methods"]}
    self_play, sppo, inpo, nash_md, comal, certified = gaps.values()
    assert min(self_play, sppo) > 0.15
    assert 0.05 < inpo < 0.07
    assert 0.05 < nash_md < 0.07
    assert comal < 1e-9
    assert certified < 1e-6
    assert (tmp_path / "s.png").stat().st_size > 20_000


def test_the_table_fits_a_narrow_terminal(tmp_path):
    outcome = synthetic("--output", tmp_path / "s.svg", "--steps", 60)
    assert outcome.exit_code == 0
    assert max(map(len, outcome.stdout.splitlines())) <= 80
    assert "…" not in outcome.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--eta", "20"], "need 0 < eta·tau ≤ 1"),
        (["--tau", "-1"], "tau"),
        (["--start", "1,2,3"], "sum to 1"),
        (["--start", "0.5,0.5"], "3 answers"),
    ],
)
def test_bad_input(arguments, message, tmp_path):
    outcome = synthetic("--output", tmp_path / "s.png", *arguments)
    assert outcome.exit_code == 2
    assert message in outcome.stderr
    assert list(tmp_path.iterdir()) == []


def test_comparisons_have_names(tmp_path):
    outcome = synthetic("--part", "list")
    assert outcome.exit_code == 0
    assert "sampled/random:5" in outcome.stdout.split()
    outcome = synthetic("--part", "sampled/rndom:5", "--folder", tmp_path)
    assert outcome.exit_code == 2
    assert "Did you mean `sampled/random:5`?" in outcome.stderr
    assert "--part all" in synthetic("--full").stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--folder", "x"], "--folder: belongs to the comparisons (--part NAME, or `--part all`); leave it out"),
        (["--part", "schedules", "--output", "x.png"], "--output: belongs to the three-answer experiment"),
        (["--part", "schedules", "--steps", 3000], "--steps: belongs to the three-answer experiment"),
        (["--part", "schedules", "--eta", 0.1], "--eta: belongs to the three-answer experiment"),
        (["--part", "schedules", "--tau", 0.1], "--tau: belongs to the three-answer experiment"),
        (["--part", "schedules", "--inner-steps", 5], "--inner-steps: belongs to the three-answer experiment"),
        (["--part", "schedules", "--start", "1,0,0"], "--start: belongs to the three-answer experiment"),
        (["--part", "list", "--json"], "--json: does nothing to a list of names"),
    ],
)
def test_an_option_of_the_other_experiment_is_refused(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command_line.refused(synthetic(*arguments), message)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small(monkeypatch):
    import dataclasses

    from comal.experiments.matrix_games import cells as comparison

    monkeypatch.setattr(
        comparison, "QUICK", dataclasses.replace(comparison.QUICK, seeds=2, comparisons=40, steps=20, sizes=(4, 5))
    )


def test_a_comparison_prints_a_table_an_interpreter_and_draws_a_figure(tmp_path, small):
    outcome = synthetic("--part", "sampled/paper", "--folder", tmp_path)
    assert outcome.exit_code == 0, outcome.output
    assert "sampled/paper: single comparisons, reused" in outcome.stdout
    assert "sampled/paper: single comparisons, each used once" in outcome.stdout
    assert outcome.stdout.count("iterative DPO") == 3
    assert (tmp_path / "sampled-paper.png").stat().st_size > 10_000


def test_a_comparison_prints_one_json_object_and_one_part_a_size(tmp_path, small):
    outcome = synthetic("--part", "exact/random", "--folder", tmp_path, "--json")
    assert outcome.exit_code == 0, outcome.output
    found = json.loads(outcome.stdout)
    assert list(found["parts"]) == ["exact/random:4", "exact/random:5"]
    names = [result["method"] for result in found["parts"]["exact/random:4"]]
    assert set(names) == METHODS.keys()
    assert len(names) == len(set(names))


def test_several_answers_are_won_by_policies_made_for_them(tmp_path):
    outcome = command_line.comal("reproduce", "universal", "--products", 120, "--output", tmp_path / "u.png", "--json")
    assert outcome.exit_code == 0
    assert (tmp_path / "u.png").stat().st_size > 20_000
    found = json.loads(outcome.stdout)["populations"]
    assert len(found) == 4
    for one in found:
        for shown in one["shown"]:
            assert shown["equilibrium_gap"] <= 1e-12
            assert shown["win_rate"] == pytest.approx(shown["bound"], abs=1e-11)
            assert shown["nash_win_rate"] <= shown["bound"] + 1e-11
            assert shown["gaps"]["INPO"] > 1e-4
    halves = found[0]["shown"]
    assert [round(shown["nash_win_rate"], 3) for shown in halves] == [0.5, 0.51, 0.51]
    assert halves[1]["gaps"]["self-play"] < 1e-7


def test_the_table_of_populations(tmp_path):
    outcome = command_line.comal("reproduce", "universal", "--products", 2, "--output", tmp_path / "u.svg")
    assert outcome.exit_code == 0
    assert max(map(len, outcome.stdout.splitlines())) <= 110
    assert "…" not in outcome.stdout
    refused = command_line.comal("reproduce", "universal", "--tau", 5, "--output", tmp_path / "v.svg")
    assert refused.exit_code == 2
    assert "need 0 < eta·tau ≤ 1" in refused.stderr
    assert not (tmp_path / "v.svg").exists()
