"""`comal eval` of a toy whose every number is derived here."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import command_line
from comal.games import PreferenceGame, duality_gap, nash_policy, read_game
from toy_eval import DRAWS, TOY, comal, outputs, toy_arguments


@pytest.fixture
def toy(tmp_path: Path) -> list[object]:
    return toy_arguments(tmp_path)


def rates_by_hand() -> np.ndarray:
    """Per-prompt win rates, shape (4, 3, 3).

    A against B: .2 .2 .5 .2, mean .275.  A against C: .9 each.  B against C: .3 .3 .9 .3, mean .45.
    """
    rates = np.full((4, 3, 3), 0.5)
    rates[:, 0, 1] = [0.2, 0.2, 0.5, 0.2]
    rates[:, 0, 2] = 0.9
    rates[:, 1, 2] = [0.3, 0.3, 0.9, 0.3]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        rates[:, j, i] = 1 - rates[:, i, j]
    return rates


def by_hand() -> np.ndarray:
    """The matrix of every resample of the four prompts and four invented ones, on which each pair is a toss-up."""
    rates, rng = rates_by_hand(), np.random.default_rng(0)
    counts = rng.multinomial(8, [1 / 8] * 8, size=DRAWS)
    invented = counts[:, 4:].sum(axis=1)
    won = rng.binomial(invented[:, None], 0.5, size=(DRAWS, 3))
    found = np.full((DRAWS, 3, 3), 0.5)
    for pair, (i, j) in enumerate(((0, 1), (0, 2), (1, 2))):
        found[:, i, j] = (counts[:, :4] @ rates[:, i, j] + won[:, pair]) / 8
        found[:, j, i] = 1 - found[:, i, j]
    return found[invented < 8]  # a resample without any real prompt is none


def ends_by_hand(values: np.ndarray, least: float = 0.0) -> tuple[float, float]:
    """Student's t of the values and two invented at either bound."""
    padded = np.array([*values, least, least, 1.0, 1.0])
    reach = stats.t.ppf(0.975, len(padded) - 1) * padded.std(ddof=1) / math.sqrt(len(padded))
    low, high = padded.mean() - reach, padded.mean() + reach
    return max(least, min(values.mean(), low)), min(1.0, max(values.mean(), high))


def test_every_number_of_a_toy_of_three_policies(toy, tmp_path: Path) -> None:
    outcome = comal(*toy, "--json")
    assert outcome.exit_code == 0, outcome.output
    found = json.loads(outcome.stdout)
    resampled = by_hand()
    assert found["num_prompts"] == 4

    # Win rates and their intervals.
    assert np.array(found["matrix"]) == pytest.approx(
        np.array([[0.5, 0.275, 0.9], [0.725, 0.5, 0.45], [0.1, 0.55, 0.5]])
    )
    rates = rates_by_hand()
    for i, j in ((0, 1), (0, 2), (1, 2), (2, 0)):
        assert (found["low"][i][j], found["high"][i][j]) == pytest.approx(ends_by_hand(rates[:, i, j]))

    # Counts: prompt 3 is a tie of A and B (both say rock). Wilson for 0 of 3: [0, z²/(3 + z²)].
    first, second, third = found["pairs"]
    assert (first["first"], first["second"]) == ("A", "B")
    assert first["prompts"] == first["verdicts"] == {"wins": 0, "ties": 1, "losses": 3, "missing": 0}
    z2 = stats.norm.ppf(0.975) ** 2
    assert first["prompts_won"] == pytest.approx({"value": 0, "low": 0, "high": z2 / (3 + z2)}, abs=1e-12)
    assert second["prompts"] == {"wins": 4, "ties": 0, "losses": 0, "missing": 0}
    assert second["prompts_won"] == pytest.approx({"value": 1, "low": 4 / (4 + z2), "high": 1})
    assert third["prompts"] == {"wins": 1, "ties": 0, "losses": 3, "missing": 0}
    centre, reach = (0.25 + z2 / 8) / (1 + z2 / 4), math.sqrt(z2) * math.sqrt(0.1875 / 4 + z2 / 64) / (1 + z2 / 4)
    assert third["prompts_won"] == pytest.approx({"value": 0.25, "low": centre - reach, "high": centre + reach})

    # Means against the others: A (.275 + .9)/2, B (.725 + .45)/2, C (.1 + .55)/2.
    policies = found["policies"]
    assert [p["win_rate"]["value"] for p in policies.values()] == pytest.approx([0.5875, 0.5875, 0.325])
    assert policies["C"]["win_rate"]["high"] == pytest.approx(ends_by_hand(rates[:, 2, :2].mean(axis=1))[1])

    # Differences against the baseline A: B .725, C .1 on the same prompts: .625, paired.
    (difference,) = found["differences"]
    low, high = ends_by_hand(rates[:, 1, 0] - rates[:, 2, 0], least=-1.0)
    assert difference["difference"] == pytest.approx({"value": 0.625, "low": low, "high": high})

    # Nash: B beats A by .225, A beats C by .4, C beats B by .05. Each share is as the edge between the other two.
    nash = np.array([0.05, 0.4, 0.225]) / 0.675
    assert [p["nash"] for p in policies.values()] == pytest.approx(nash, abs=1e-7)
    assert [p["nash_averaging"] for p in policies.values()] == pytest.approx(nash, abs=1e-7)
    assert [p["skill"] for p in policies.values()] == pytest.approx([0.5] * 3, abs=1e-7)
    assert found["game"]["nash_is_unique"] is True
    assert found["game"]["cycles"] == [["A", "C", "B"]]
    mixtures = np.array([nash_policy(PreferenceGame.symmetrised(P)) for P in resampled])
    # Of several Nash mixtures the one with the largest support counts; there are several only where a pair is level.
    level = np.mean([(np.isclose(P, 0.5).sum() > 3) for P in resampled])
    more = np.array([p["in_support"] for p in policies.values()]) - (mixtures > 1e-4).mean(axis=0)
    assert (more > -1e-9).all()
    assert (more < level + 1e-9).all()
    game = PreferenceGame(np.array(found["matrix"]))
    gaps = [float(duality_gap(game, p)) for p in mixtures]
    assert found["game"]["gap"]["value"] == pytest.approx(0, abs=1e-9)
    assert found["game"]["gap"]["high"] == pytest.approx(np.quantile(gaps, 0.95), abs=1e-6)
    assert found["game"]["condorcet_winner"] is None
    winners = [(P[1] > 0.5).sum() == 2 for P in resampled]
    assert policies["B"]["condorcet_share"] == pytest.approx(np.mean(winners))

    # Elo: A and B have equal scores (1.175), so equal ratings r, and C, of score .65, has −2r: 2σ(−3r) = .65.
    r = -math.log(0.325 / 0.675) / 3
    scale = 400 / math.log(10)
    assert [p["elo"]["value"] for p in policies.values()] == pytest.approx(
        [1000 + scale * r, 1000 + scale * r, 1000 - 2 * scale * r], abs=1e-4
    )
    assert found["elo"]["misleading"] == [], "A and B are rated alike and B wins .725, but four prompts do not show it"

    # Lengths, the judge, and what is too small for a fit.
    assert policies["B"]["lengths"]["mean_characters"] == pytest.approx((5 * 3 + 4) / 4)
    assert policies["B"]["lengths"]["median_characters"] == 5
    assert policies["C"]["lengths"]["mean_words"] == 1
    assert found["judging"]["comparisons"] == 12
    assert found["judging"]["questions"] == 11, "equal answers are not asked about"
    assert found["judging"]["failures"] == 0
    assert policies["B"]["length_controlled"] is None
    assert any("at least 10 prompts" in note for note in found["notes"])

    # Files: the same figures, and a matrix that `comal solve` reads.
    out = tmp_path / "out"
    assert json.loads((out / "result.json").read_text()) == found
    assert pytest.approx(np.array(found["matrix"])) == read_game(out / "matrix.csv").P
    solved = command_line.comal("solve", out / "matrix.csv", "--json")
    assert json.loads(solved.stdout)["policy"] == pytest.approx(nash, abs=1e-6)
    annotations = json.loads((out / "annotations.json").read_text())
    of_b = [a["preference"] for a in annotations if (a["generator_1"], a["generator_2"]) == ("A", "B")]
    assert of_b == pytest.approx([1.8, 1.8, 1.5, 1.8])
    with (out / "leaderboard.csv").open(newline="") as file:
        board = {row[""]: row for row in csv.DictReader(file)}
    assert float(board["B"]["win_rate"]) == pytest.approx(72.5)
    # Preferences .8 .8 .5 .8: deviations .075 ×3 and −.225, variance .0675/3, error sqrt(.0225)/2.
    assert float(board["B"]["standard_error"]) == pytest.approx(7.5)
    assert float(board["B"]["discrete_win_rate"]) == pytest.approx(100 * 3.5 / 4)


def test_people_see_tables_and_files_come_back_in(toy, tmp_path: Path) -> None:
    outcome = comal(*toy, "--baseline", "C")
    assert outcome.exit_code == 0, outcome.output
    for part in ("against C", "Nash mixture", "no verdict", "Condorcet winner", "0.275"):
        assert part in outcome.stdout
    assert "result.json" in outcome.stderr
    again = [tmp_path / "out" / "outputs" / f"{name}.json" for name in TOY]
    second = comal(*again, *toy[3:5], "--output-dir", tmp_path / "second", "--draws", DRAWS, "--json")
    assert json.loads(second.stdout)["matrix"] == json.loads((tmp_path / "out" / "result.json").read_text())["matrix"]


def test_a_policy_can_be_renamed_and_prompts_limited(toy, tmp_path: Path) -> None:
    first, second = toy[:2]
    found = comal(f"mine={first}", second, *toy[3:5], "--output-dir", tmp_path / "o", "--limit", 3, "--json")
    result = json.loads(found.stdout)
    assert list(result["policies"]) == ["mine", "B"]
    assert result["num_prompts"] == 3
    assert result["baseline"] == "mine"


def test_length_control_on_ordinary_files(tmp_path: Path) -> None:
    """The judge likes the longer answer, whoever gives it: controlled for length the long-winded gains nothing."""
    rng = np.random.default_rng(0)
    prompts = [f"x{i}" for i in range(120)]
    long = {x: "w" * int(rng.integers(30, 100)) for x in prompts}
    short = {x: "v" * int(rng.integers(10, 80)) for x in prompts}
    files = [outputs(tmp_path, "short", short), outputs(tmp_path, "long", long)]
    judge = "{name: python, function: 'judge_functions:longer'}"
    found = json.loads(comal(*files, "--judge", judge, "--output-dir", tmp_path / "o", "--json").stdout)
    raw = found["policies"]["long"]["against_baseline"]["value"]
    controlled = found["policies"]["long"]["length_controlled"]
    assert raw > 0.6
    assert controlled["win_rate"] < raw - 0.1
    assert controlled["weights"]["length"] < 0
    assert controlled["low"] < 0.5 < raw
    off = comal(*files, "--judge", judge, "--output-dir", tmp_path / "o", "--json", "--no-length-control")
    assert json.loads(off.stdout)["policies"]["long"]["length_controlled"] is None
