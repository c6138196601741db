"""The comparison of the family: which games, which settings, equal calls, and that nothing is computed twice."""

import dataclasses
import json

import numpy as np
import pytest

from comal.algorithms.egpo import EGPO
from comal.experiments.matrix_games import cells as synthetic
from comal.experiments.matrix_games.cells import FULL, QUICK, Cell, CellResult, carry_out, cells, game_set, results
from comal.experiments.matrix_games.family import AUTOMATIC, DPO, METHODS, SCHEDULES
from comal.games import nash_policy
from comal.records import from_json, to_json

TINY = dataclasses.replace(QUICK, games=2, seeds=3, comparisons=60, steps=40)


def test_random_games_have_mixed_nash_policies_and_share_none_with_the_development_games():
    reported, development = game_set("random:5", 20), game_set("development:5", 20)
    for P in reported.P:
        policy = nash_policy(dataclasses.replace(reported, P=P))
        assert (policy > 1e-6).sum() > 1
        assert np.abs(P - development.P).max(axis=(1, 2)).min() > 0.01


def test_the_other_sets_are_what_they_are_called():
    for P in game_set("condorcet:5", 3).P:
        assert (P[0, 1:] > 0.5).all()
    for P in game_set("bradley-terry:4", 3).P:
        odds = np.log(P / (1 - P))
        np.testing.assert_allclose(odds[0, 1] + odds[1, 2], odds[0, 2], atol=1e-9)
    np.testing.assert_allclose(nash_policy(dataclasses.replace(game_set("paper", 9), P=game_set("paper", 9).P[0])),
                               np.array([4, 3, 4]) / 11, atol=1e-9)  # fmt: skip


@pytest.mark.parametrize("interpreter", ["reuse", "chosen", "fresh", "exact"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_on_equal_calls(method, interpreter):
    result = carry_out(Cell("random:4", method, METHODS[method].default, interpreter), TINY)
    assert result.calls[-1] == (40 if interpreter == "exact" else 60)
    assert len(result.curve) == len(result.calls)
    assert 0 <= result.best.mean <= result.last.mean + 1e-12
    assert result.last.low <= result.last.mean <= result.last.high
    assert np.mean(result.by_game) == pytest.approx(result.last.mean)
    assert from_json(CellResult, json.loads(json.dumps(to_json(result))), "file") == result


def test_grids_hold_only_settings_that_exist_and_the_default_is_tried_first():
    for method in [*METHODS.values(), SCHEDULES]:
        for values in [method.default, *method.grid]:
            method.at(values)
    found = cells("sampled/paper", FULL)
    assert [cell.method for cell in found[: len(METHODS)]] == list(METHODS)
    assert len(set(found)) == len(found)
    assert {cell.interpreter for cell in found} == {"reuse", "chosen", "fresh"}
    assert isinstance(METHODS["EGPO"].at((1.0, 0.1)), EGPO)
    assert METHODS["EGPO"].settings((1.0, 0.1)) == "eta 1, tau 0.1"


def test_results_are_kept_and_not_computed_again(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "METHODS", {name: METHODS[name] for name in (AUTOMATIC, DPO)})
    first = list(results("sampled/paper", TINY, tmp_path))
    assert len(first) == 6
    monkeypatch.setattr(synthetic, "carry_out", lambda cell, scale: pytest.fail("computed again"))
    assert list(results("sampled/paper", TINY, tmp_path)) == first
    # a cell that was lost is the only one computed again
    next(tmp_path.glob("*.json")).unlink()
    again = []
    monkeypatch.setattr(synthetic, "carry_out", lambda cell, scale: again.append(cell) or {})
    list(results("sampled/paper", TINY, tmp_path))
    assert len(again) == 1


def test_another_scale_is_another_result(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "METHODS", {DPO: METHODS[DPO]})
    list(results("sampled/paper", TINY, tmp_path))
    list(results("sampled/paper", dataclasses.replace(TINY, seeds=2), tmp_path))
    assert len(list(tmp_path.glob("*.json"))) == 6


def test_the_best_manual_schedule_is_taken_to_other_games(tmp_path, monkeypatch):
    small = dataclasses.replace(SCHEDULES, grid=SCHEDULES.grid[:2])
    monkeypatch.setattr(synthetic, "SCHEDULES", small)
    found = list(results("schedules", TINY, tmp_path))
    assert len(found) == synthetic.total("schedules", TINY)
    searched = found[:2]
    best = min(searched, key=lambda r: r.last.mean)
    reported = found[3:]
    assert {r.cell.games for r in reported} == {"random:5", "random:10", "paper"}
    assert all(r.cell.values == best.cell.values for r in reported if r.cell.method != AUTOMATIC)
    assert not {r.cell.seed for r in reported} & {r.cell.seed for r in searched}
