import json

import pytest
from typer.testing import CliRunner

from comal.cli import app


def synthetic(*arguments):
    return CliRunner().invoke(app, ["reproduce", "synthetic", *map(str, arguments)])


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
