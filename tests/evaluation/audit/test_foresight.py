"""What a run can show: the game among classes is the one that the verdicts are of, and its methods are run exactly."""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pytest
from rich.console import Console

from comal.algorithms.base import POLICY, Algorithm, Program, ProxStep, against, only
from comal.algorithms.comal import COMAL
from comal.algorithms.inpo import INPO
from comal.algorithms.mwu import MWU
from comal.evaluation.audit.foresight import SHARES, foresee
from comal.evaluation.audit.result import AuditResult
from comal.evaluation.audit.verdicts import Row, Verdicts
from comal.games import PreferenceGame, nash_policy, solve
from comal.reports.terminal.audit import print_audit

CLASSES = ("brief", "list", "prose")
P = np.array([[0.5, 0.8, 0.3], [0.2, 0.5, 0.9], [0.7, 0.1, 0.5]])
"""Brief beats list, list beats prose, prose beats brief."""
GROUPS = [["brief", "prose", "prose", "list"], ["prose", "prose", "list", "brief"], ["prose", "prose", "prose", "list"]]
STEPS = 12


def verdicts_of(groups, P=P, classes=CLASSES):
    """On every two answers to a prompt, as their classes stand to each other."""
    rows = []
    for prompt, group in enumerate(groups):
        for i, j in combinations(range(len(group)), 2):
            p = P[classes.index(group[i]), classes.index(group[j])]
            rows.append(Row(prompt, i, j, p))
    most = max(map(len, groups))
    ids = tuple(f"q{number}" for number in range(len(groups)))
    return Verdicts("verdicts", ids, (), (0,) * most, ("judge",), tuple(rows), np.full((len(groups), most), 9.0))


@dataclass(frozen=True, slots=True)
class Unknown(Algorithm):
    """A program of an instruction that no exact game has."""

    def program(self) -> Program:
        yield ProxStep(only(POLICY), against(POLICY), 0.5)
        yield object()


def test_it_is_the_game_and_the_start_that_the_answers_are_of():
    found = foresee(verdicts_of(GROUPS), GROUPS, {}, STEPS)
    assert found.classes == CLASSES
    assert found.class_shares == pytest.approx([2 / 12, 3 / 12, 7 / 12])
    assert np.array(found.rates) == pytest.approx(P)
    assert found.start == pytest.approx((P @ np.array(found.class_shares)).max())
    assert found.left_out == ()


def test_rates_are_means_over_all_that_met():
    groups = [["brief", "list"], ["list", "brief"], ["list", "prose", "brief"]]
    rows = (Row(0, 0, 1, 0.9), Row(1, 0, 1, 0.3), Row(1, 1, 0, 0.5), Row(2, 0, 2, float("nan")), Row(2, 0, 1, 0.6),
            Row(2, 1, 2, 0.55))  # fmt: skip
    both = Verdicts("v", ("a", "b", "c"), (), (0,) * 3, ("judge",), rows, np.full((3, 3), 9.0))
    rates = np.array(foresee(both, groups, {}, STEPS).rates)
    assert rates[0, 1] == pytest.approx((0.9 + 0.7 + 0.5) / 3)
    assert rates[1, 2] == pytest.approx(0.6)
    assert rates[2, 0] == pytest.approx(0.55)
    assert rates + rates.T == pytest.approx(np.ones((3, 3)), abs=0)


def test_methods_end_where_the_exact_game_ends():
    inner = INPO(eta=0.9, tau=0.4)
    methods = {"comal": COMAL(inner=inner, inner_steps=4, update="copy"), "inpo": inner, "mwu": MWU(eta=0.9)}
    found = foresee(verdicts_of(GROUPS), GROUPS, methods, STEPS)
    assert [one.method for one in found.methods] == list(methods)
    start, game = np.array(found.class_shares), PreferenceGame(np.array(found.rates))
    for one, rule in zip(found.methods, methods.values(), strict=True):
        assert tuple(end.arrives for end in one.ends) == SHARES
        # A look at the start is a product, and so is a step.
        whole = solve(game, rule, gap=0.0, max_products=STEPS + 1, start=start)
        assert one.ends[0].win_rate == pytest.approx(0.5 + whole.duality_gap / 2, abs=1e-12)


@pytest.mark.parametrize("share", SHARES)
def test_a_share_of_a_step_is_a_shorter_step(share):
    eta, tau = 0.9, 0.4
    found = foresee(verdicts_of(GROUPS), GROUPS, {"inpo": INPO(eta=eta, tau=tau)}, STEPS)
    log_p = np.log(found.class_shares)
    first = log_p
    for _ in range(STEPS):
        log_p = (1 - share * eta * tau) * log_p + share * eta * (tau * first + P @ np.exp(log_p))
        log_p -= np.logaddexp.reduce(log_p)
    [ends] = [one.ends for one in found.methods]
    assert next(e.win_rate for e in ends if e.arrives == share) == pytest.approx((P @ np.exp(log_p)).max(), abs=1e-12)


def test_from_a_nash_policy_there_is_nothing_to_gain():
    even = np.array([[0.5, 0.75, 0.25], [0.25, 0.5, 0.75], [0.75, 0.25, 0.5]])
    groups = [list(CLASSES)] * 4
    assert nash_policy(PreferenceGame(even)) == pytest.approx(np.full(3, 1 / 3))
    found = foresee(verdicts_of(groups, even), groups, {"inpo": INPO(eta=0.9, tau=0.4)}, STEPS)
    assert found.start == pytest.approx(0.5)
    assert [end.win_rate for end in found.methods[0].ends] == pytest.approx([0.5] * len(SHARES))


def test_the_rarest_stranger_is_left_out():
    groups = [
        ["brief", "list", "list"],
        ["list", "prose", "prose"],
        ["prose", "list", "prose"],
    ]  # brief never met prose
    found = foresee(verdicts_of(groups), groups, {}, STEPS)
    assert (found.classes, found.left_out) == (("list", "prose"), ("brief",))
    assert found.class_shares == pytest.approx([4 / 8, 4 / 8])
    assert found.rates[0][1] == pytest.approx(0.9)


@pytest.mark.parametrize("groups", [[["list", "list"]] * 3, [["list", "list"], ["prose", "prose"]]])
def test_without_two_classes_that_met_there_is_no_game(groups):
    assert foresee(verdicts_of(groups), groups, {"mwu": MWU(eta=1.0)}, STEPS) is None


def test_a_program_without_an_exact_form_has_no_end_but_a_reason():
    found = foresee(verdicts_of(GROUPS), GROUPS, {"unknown": Unknown(), "mwu": MWU(eta=1.0)}, STEPS)
    assert [len(one.ends) for one in found.methods] == [0, len(SHARES)]
    unknown, known = found.methods
    assert "does not know the instruction object" in unknown.reason
    assert known.reason is None


def test_it_is_read_as_it_was_written():
    found = foresee(verdicts_of(GROUPS), GROUPS, {"mwu": MWU(eta=1.0), "unknown": Unknown()}, STEPS)
    whole = AuditResult("a", (), 0, 0, 0, None, None, None, (), None, None, None, "untested", (), foresight=found)
    assert AuditResult.from_json(whole.to_json(), "audit.json").foresight == found
    assert "foresight" not in AuditResult("a", (), 0, 0, 0, None, None, None, (), None, None, None, "untested",
                                          ()).to_json()  # fmt: skip


def test_a_terminal_shows_the_reason_where_there_is_no_figure():
    found = foresee(verdicts_of(GROUPS), GROUPS, {"unknown": Unknown(), "mwu": MWU(eta=1.0)}, STEPS)
    whole = AuditResult("a", (), 0, 0, 0, None, None, None, (), None, None, None, "untested", (), foresight=found)
    out = Console(file=io.StringIO(), width=100)
    print_audit(whole, out)
    lines = out.file.getvalue().splitlines()
    assert ["unknown", *"–––"] in [line.split() for line in lines]
    assert f"unknown: {found.methods[0].reason}" in " ".join(lines)
