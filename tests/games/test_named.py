import numpy as np
import pytest

from comal.errors import ConfigError
from comal.games import NAMED, duality_gap, named_game, nash_policy


@pytest.mark.parametrize("name", NAMED)
def test_every_game_has_a_source_and_a_summary(name):
    game = named_game(name)
    assert game.citation
    assert game.name == name
    assert NAMED[name].__doc__.splitlines()[0].endswith(".")


@pytest.mark.parametrize(
    ("name", "nash"),
    [
        ("paper", np.array([4, 3, 4]) / 11),
        ("rock_paper_scissors", np.full(3, 1 / 3)),
        ("rock_paper_scissors:n=7,win=.8", np.full(7, 1 / 7)),
        # each answer weighs as much as the margin between the other two
        ("weighted_rock_paper_scissors", np.array([0.3, 0.4, 0.1]) / 0.8),
        ("rock_paper_scissors_copy", np.array([1, 1, 2, 2]) / 6),
        ("condorcet:n=9", np.eye(9)[0]),
        ("all_ties:n=4", np.full(4, 1 / 4)),
    ],
)
def test_known_nash_policies(name, nash):
    assert duality_gap(named_game(name), nash) <= 1e-15


def test_bradley_terry_is_won_by_one_answer():
    game = named_game("bradley_terry:n=6,seed=4")
    assert nash_policy(game)[game.condorcet_winner()] == pytest.approx(1)


def test_parameters_and_seeds():
    assert named_game("random:n=7,seed=1").n == 7
    np.testing.assert_array_equal(named_game("random:n=7,seed=1").P, named_game("random:seed=1,n=7").P)
    assert (named_game("random:seed=1").P != named_game("random:seed=2").P).any()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("papr", "Did you mean `paper`"),
        ("random:m=3", "no parameter `m`"),
        ("random:n=three", "n is a whole number, got `three`"),
        ("random:n=0", "need n ≥ 1"),
        ("random:n", "not `parameter=value`"),
        ("paper:n=3", "It takes none"),
        ("rock_paper_scissors:n=4", "odd n"),
        ("rock_paper_scissors:win=0.5", "win"),
        ("condorcet:margin=0.7", "margin"),
        ("weighted_rock_paper_scissors:rock=2", "rock"),
        ("bradley_terry:spread=nan", "nan"),
    ],
)
def test_what_is_not_known_is_said(spec, message):
    with pytest.raises(ConfigError, match=message):
        named_game(spec)
