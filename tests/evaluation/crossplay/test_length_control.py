import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from comal.evaluation.crossplay.alpaca_eval import leaderboard_row
from comal.evaluation.crossplay.length_control import AnchorRows, fit_l1, length_control
from comal.evaluation.intervals import Bootstrap

DATA = Path(__file__).parents[3].parent / "shared" / "data" / "alpaca_eval"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is absent")

PUBLISHED = {
    "claude-2.1": (15.733506736409938, 25.251943886133027),
    "gpt4_0613_concise": (9.400320574596272, 21.57799091454269),
    "alpaca-7b": (2.5915, 5.8755),
    "vicuna-7b-v1.5": (4.7975, 7.6169),
    "FuseChat-Llama-3.1-8B-Instruct": (63.3316, 65.3862),
}
"""Raw and length-controlled win rates of AlpacaEval's leaderboard, in per cent (tatsu-lab/alpaca_eval, 2024)."""


def column(path, name):
    with path.open(newline="") as file:
        return np.array([float(row[name]) for row in csv.DictReader(file)])


def annotations(system):
    found = json.loads(gzip.decompress((DATA / "annotations_min_5_models.json.gz").read_bytes()))[system]
    preference = np.array(found["preference"], dtype=float)
    return np.where(preference == 0, 0.5, preference - 1), np.array(found["len_1"]), np.array(found["len_2"])


def anchors():
    path = DATA / "df_gamed_surrogate.csv"
    return AnchorRows(*(column(path, name) for name in ("preference", "std_delta_len", "instruction_difficulty")))


@needs_data
@pytest.mark.parametrize("system", PUBLISHED)
def test_alpaca_evals_published_figures_come_out(system) -> None:
    preference, baseline_length, length = annotations(system)
    difficulty = column(DATA / "instruction_difficulty_recovered.csv", "instruction_difficulty")
    found = length_control(preference, baseline_length, length, difficulty, anchors())
    raw, controlled = PUBLISHED[system]
    assert 100 * found.raw == pytest.approx(raw, abs=1e-4)
    assert 100 * found.win_rate == pytest.approx(controlled, abs=0.2)
    assert found.prompts == 805


@needs_data
def test_alpaca_evals_leaderboard_row_comes_out() -> None:
    """claude-2.1 has 115 wins, 688 losses, 2 draws, 1096 characters, a standard error of 1.1203 points."""
    preference, baseline_length, length = annotations("claude-2.1")
    row = leaderboard_row(preference, float(length.mean()), length_control(preference, baseline_length, length))
    assert (row["n_wins"], row["n_wins_base"], row["n_draws"], row["n_total"]) == (115, 688, 2, 805)
    assert row["standard_error"] == pytest.approx(1.120315865445773, abs=1e-6)
    assert row["discrete_win_rate"] == pytest.approx(14.409937888198757, abs=1e-9)
    assert row["avg_length"] == 1096


@needs_data
def test_without_difficulties_length_still_counts() -> None:
    """claude-2.1 is much shorter than the baseline: controlled for length it is better, by whichever model."""
    preference, baseline_length, length = annotations("claude-2.1")
    found = length_control(preference, baseline_length, length, bootstrap=Bootstrap(60))
    assert found.difficulty is None
    assert found.win_rate > found.raw + 0.02
    assert found.interval.low < found.win_rate < found.interval.high
    assert found.standard_error == pytest.approx((found.interval.high - found.interval.low) / 3.92, rel=0.4)


def synthetic(n, length_effect, bias, seed=0):
    rng = np.random.default_rng(seed)
    baseline = rng.integers(100, 900, n).astype(float)
    own = rng.integers(300, 1200, n).astype(float)
    delta = baseline - own
    return expit(length_effect * np.tanh(delta / delta.std(ddof=1)) + bias), baseline, own


@pytest.mark.parametrize("bias", [-1.0, 0.3])
def test_a_planted_length_effect_is_taken_out(bias) -> None:
    """p = σ(w tanh + b) exactly: with a weak enough penalty the controlled win rate is σ(b)."""
    preference, baseline, own = synthetic(2000, -1.5, bias)
    found = length_control(preference, baseline, own)
    assert found.win_rate == pytest.approx(expit(bias), abs=2e-3)
    assert found.length == pytest.approx(-1.5, abs=0.02)
    assert abs(found.raw - found.win_rate) > 0.05, "length mattered"


def test_the_fit_satisfies_the_optimality_conditions_of_l1() -> None:
    """Slope of C · loss: −sign(w) where w is not 0, within ±1 where it is (here: a useless feature)."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    y = expit(X @ [1.0, -0.5, 0.0, 0.2] + 0.3 * rng.normal(size=300))
    weight = rng.random(300)
    for C in (0.05, 1.0, 100.0):
        w = fit_l1(X, y, weight, C)
        slope = C * (X.T @ (weight * (expit(X @ w) - y)))
        zero = np.abs(w) < 1e-9
        assert slope[~zero] == pytest.approx(-np.sign(w[~zero]), abs=1e-4 * C + 1e-5)
        assert (np.abs(slope[zero]) <= 1 + 1e-5).all()
    assert fit_l1(X, y, weight, 1e-6) == pytest.approx(np.zeros(4)), "a strong penalty leaves nothing"


def test_prompts_without_a_preference_are_left_out() -> None:
    preference, baseline, own = synthetic(200, -1.0, 0.4)
    preference[::4] = np.nan
    found = length_control(preference, baseline, own)
    assert found.prompts == 150
    assert found.raw == pytest.approx(np.nanmean(preference))
    assert found.win_rate == pytest.approx(expit(0.4), abs=0.05)


def test_equal_lengths_leave_the_win_rate_alone() -> None:
    rng = np.random.default_rng(0)
    preference = rng.random(400) * 0.5 + 0.4
    same = np.full(400, 10.0)
    found = length_control(preference, same, same)
    assert found.win_rate == pytest.approx(found.raw, abs=0.01)
    assert found.length == 0


def test_what_cannot_be_fitted_is_refused() -> None:
    preference, baseline, own = synthetic(20, -1.0, 0.4)
    with pytest.raises(ValueError, match="at least 10 prompts with a preference, got 9"):
        length_control(preference[:9], baseline[:9], own[:9])
    with pytest.raises(ValueError, match="all answers are 5 characters longer than the baseline's"):
        length_control(preference, own - 5, own)
    with pytest.raises(ValueError, match="anchor rows have difficulties"):
        length_control(preference, baseline, own, anchors=AnchorRows(np.ones(1), np.ones(1), np.ones(1)))
