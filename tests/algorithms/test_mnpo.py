import numpy as np
import pytest

from comal.algorithms.base import REFERENCE, ProxStep
from comal.algorithms.comal import COMAL
from comal.algorithms.inpo import INPO
from comal.algorithms.mnpo import MNPO
from comal.games import ExactBackend, PreferenceGame, duality_gap, named_game, solve
from random_games import random_policy, random_table

PAPER = named_game("paper")
START = np.array([0.2, 0.5, 0.3])


def policies(rule, steps, game=PAPER, start=START):
    """The policy after every prox step, the start first."""
    return solve(game, rule, gap=0.0, start=start, max_products=steps + 1, record="policies").trajectory


def after_steps(rule, steps):
    found = policies(rule, steps)
    moved = np.flatnonzero(np.diff(found.prox_steps, prepend=-1))
    return found.policies[moved]


def test_with_one_policy_in_its_anchor_it_is_inpo():
    np.testing.assert_allclose(
        after_steps(MNPO(0.15, 0.1, history=1), 50), after_steps(INPO(0.15, 0.1), 50), atol=1e-14
    )


@pytest.mark.parametrize("history", [2, 3, 4])
def test_each_step_is_the_equation(history):
    P, start, reference = random_table(4, 1), random_policy(4, 2), random_policy(4, 3)
    eta, tau = 0.4, 0.3
    backend = ExactBackend(PreferenceGame(P), start)
    backend._roles[REFERENCE].log_p = np.log(reference)[None]
    earlier = [start]
    program = MNPO(eta, tau, history).program()
    instruction = next(program)
    while len(earlier) < 8:
        report = backend.execute(0, instruction)
        if isinstance(instruction, ProxStep):
            anchor = np.mean(np.log(earlier[-history:]), axis=0)
            weights = np.exp(eta * tau * np.log(reference) + (1 - eta * tau) * anchor + eta * P @ earlier[-1])
            earlier.append(weights / weights.sum())
            np.testing.assert_allclose(backend.policies()[0], earlier[-1], rtol=1e-12)
        instruction = program.send(report)


@pytest.mark.parametrize("history", [2, 5])
def test_it_rests_at_the_regularised_nash_policy(history):
    rest = policies(MNPO(0.15, 0.1, history), 6000).policies[-1]
    response = START * np.exp(PAPER.P @ rest / 0.1)
    np.testing.assert_allclose(rest, response / response.sum(), atol=1e-9)
    assert duality_gap(PAPER, rest) > 0.05  # not the Nash policy of the game itself


@pytest.mark.parametrize("history", [2, 4])
def test_for_small_steps_it_goes_inpos_way_more_slowly(history):
    """As INPO at 2 eta / (m + 1); the distance is of the order of eta, and INPO at eta itself is elsewhere."""
    eta, steps = 0.02, 400
    ours = after_steps(MNPO(eta, 0.1, history), steps)
    slower = after_steps(INPO(2 * eta / (history + 1), 0.1), steps)
    same = after_steps(INPO(eta, 0.1), steps)
    assert np.abs(ours - slower).max() < eta / 2
    assert np.abs(ours - same).max() > 5 * np.abs(ours - slower).max()


def test_comal_around_it_reaches_the_nash_policy():
    rule = COMAL(inner=MNPO(0.15, 0.1), inner_steps=200)
    np.testing.assert_allclose(solve(PAPER, rule, gap=1e-7, start=START).policy, np.array([4, 3, 4]) / 11, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"eta": 5, "tau": 0.3}, "eta·tau ≤ 1"), ({"eta": 1, "tau": 0.1, "history": 0}, "need history ≥ 1, got 0")],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        MNPO(**options)
