"""COMAL's options: which combinations make sense, and what the default does on games that are hard for others."""

import pytest

from comal.algorithms.base import Polish, ProximalPoint, Report, SolveLP, SolveRegularised
from comal.algorithms.comal import COMAL
from comal.algorithms.inpo import INPO
from comal.errors import ConfigError
from comal.plugins import ALGORITHMS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inner_steps": 5}, "inner_steps counts the prox steps of `inner`, which is missing"),
        ({"update": "copy"}, "update `copy` needs `inner` or `tau`"),
        ({"update": "move"}, "algorithm.update"),
        ({"sigma": 1}, "need 0 < sigma < 1"),
        ({"tau": 0}, "need tau > 0"),
        ({"tau": 0.2, "inner": {"name": "inpo", "eta": 1, "tau": 0.1}}, "tau is 0.2 but inner.tau is 0.1"),
        ({"inner": {"name": "inpo", "eta": 1, "tau": 0.1}, "inner_steps": 0}, "need inner_steps ≥ 1"),
        ({"inner": {"name": "inpo", "eta": 1, "tau": 0.1}, "inner_steps": 5, "sigma": 0.1}, "give one"),
        ({"inner": {"name": "mwu", "eta": 1}}, "`MWU` solves no regularised game"),
        ({"inner": {"name": "comal"}}, "`COMAL` solves no regularised game"),
        ({"inner": {"name": "inpo", "eta": 1, "tua": 0.1}}, "algorithm.inner.tua: `inpo` has no such option"),
        ({"inner": "inpoo"}, "algorithm.inner.name: `inpoo` is not an algorithm"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(ConfigError) as refusal:
        ALGORITHMS.build({"name": "comal"} | options, "algorithm")
    assert message in str(refusal.value)


def test_tau_may_be_given_twice_if_it_is_the_same():
    assert COMAL(tau=0.1, inner=INPO(1, 0.1)).inner.tau == 0.1


def test_the_default_falls_back_to_linear_programming_after_many_linear_solves():
    program = COMAL().program()
    instruction = next(program)
    seen = []
    for _ in range(30):
        seen.append(instruction)
        instruction = program.send(Report(iterations=50 if isinstance(instruction, ProximalPoint) else None))
    first = next(i for i, instruction in enumerate(seen) if isinstance(instruction, SolveLP))
    assert [type(i) for i in seen[: first + 1]] == [ProximalPoint, Polish] * 7 + [SolveLP]
    assert not any(isinstance(i, SolveLP) for i in seen[first + 1 : first + 14])


def test_an_unsolved_inner_game_does_not_move_the_reference():
    program = COMAL(tau=0.1).program()
    assert isinstance(next(program), SolveRegularised)
    assert isinstance(program.send(Report(kl_best_response=0.6, kl_reference=1.0)), SolveRegularised)
    assert not isinstance(program.send(Report(kl_best_response=0.4, kl_reference=1.0)), SolveRegularised)


def test_a_certificate_that_nobody_measured_is_an_error_and_not_an_endless_loop():
    program = COMAL(inner=INPO(1, 0.1)).program()
    next(program)
    program.send(Report())
    with pytest.raises(ConfigError, match="give a number of inner steps"):
        program.send(Report())
