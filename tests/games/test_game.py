import numpy as np
import pytest

from comal.errors import GameError
from comal.games import PreferenceGame, named_game

PAPER = [[0.5, 0.1, 0.8], [0.9, 0.5, 0.1], [0.2, 0.9, 0.5]]


def changed(i, j, value):
    table = np.array(PAPER)
    table[i, j] = value
    return table


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (changed(1, 0, np.nan), r"P\[b, a\] is nan; every cell must be a number"),
        (changed(2, 1, np.inf), r"P\[c, b\] is inf"),
        (changed(1, 0, 1.2), r"P\[b, a\] is 1.2, not a probability"),
        (changed(0, 2, -0.1), r"P\[a, c\] is -0.1, not a probability"),
        (changed(1, 0, 0.8), r"P\[a, b\] \+ P\[b, a\] must be 1 but is 0.1 \+ 0.8 = 0.9; .*symmetrise"),
        (changed(2, 2, 0.6), r"P\[c, c\] is 0.6; an answer against itself is 0.5"),
        ([[0.5, 0.4]], "square.*1 × 2"),
        ([0.5, 0.5], "square.*this one is 2"),
        (0.5, "square.*a single number"),
        ([[0.5, 0.4], [0.6]], "rectangle of numbers"),
        ([["x"]], "rectangle of numbers"),
        (np.empty((0, 0)), "square"),
    ],
)
def test_what_is_no_preference_game_is_refused_by_its_worst_cell(table, message):
    with pytest.raises(GameError, match=message):
        PreferenceGame(table, ("a", "b", "c") if isinstance(table, np.ndarray) else ())


def test_the_worst_of_several_cells_is_named():
    table = changed(0, 1, 0.15)
    table[1, 2] = 0.4
    with pytest.raises(GameError, match=r"P\[b, c\] \+ P\[c, b\].*1.3"):
        PreferenceGame(table, ("a", "b", "c"))


def test_the_game_of_a_batch_is_named():
    with pytest.raises(GameError, match=r"P\[game 1\]\[0, 1\]"):
        PreferenceGame(np.stack([PAPER, changed(0, 1, 0.3)]))


@pytest.mark.parametrize(
    ("labels", "message"), [(("a", "b"), "2 labels for 3 answers"), (("a", "b", "a"), "'a' occurs 2 times")]
)
def test_labels_fit_and_are_unique(labels, message):
    with pytest.raises(GameError, match=message):
        PreferenceGame(PAPER, labels)


def test_rounding_errors_are_accepted_and_the_skew_part_is_exact():
    game = PreferenceGame(changed(0, 1, 0.1 + 5e-10))
    np.testing.assert_array_equal(game.A, -game.A.T)


def test_a_game_cannot_be_changed_from_outside():
    table = np.array(PAPER)
    game = PreferenceGame(table)
    table[0, 1] = 0.7
    assert game.P[0, 1] == 0.1
    with pytest.raises(ValueError, match="read-only"):
        game.P[0, 1] = 0.7


def test_symmetrised_averages_both_readings():
    """P[a, b] read as .1 and, from b's side, as 1 − .8 = .2: together .15."""
    game = PreferenceGame.symmetrised(changed(1, 0, 0.8))
    assert game.P[0, 1] == pytest.approx(0.15)
    assert game.P[1, 0] == pytest.approx(0.85)
    with pytest.raises(GameError, match="nan"):
        PreferenceGame.symmetrised(changed(1, 0, np.nan))


def test_counts_become_probabilities():
    """9 wins of 10, 1 of 4; with half a win each beforehand (3 + .5) / (4 + 1)."""
    wins = np.array([[0, 9, 1], [1, 0, 2], [3, 2, 0]])
    game = PreferenceGame.from_counts(wins, ("a", "b", "c"))
    np.testing.assert_allclose(game.P, [[0.5, 0.9, 0.25], [0.1, 0.5, 0.5], [0.75, 0.5, 0.5]])
    assert PreferenceGame.from_counts(wins, prior=0.5).P[2, 0] == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("wins", "message"),
    [
        ([[0, 0], [0, 0]], r"\[a, b\] were never compared; give a prior"),
        ([[0, -1], [2, 0]], r"wins\[a, b\] is -1"),
        ([[0, np.nan], [2, 0]], r"wins\[a, b\] is nan"),
        ([[0, 1.7e308], [1.7e308, 0]], r"wins\[a, b\] is 1.7e\+308; .* 1e\+15 at most"),
    ],
)
def test_counts_that_say_nothing_are_refused(wins, message):
    with pytest.raises(GameError, match=message):
        PreferenceGame.from_counts(wins, ("a", "b"))


def test_a_prior_beyond_counting_is_refused():
    with pytest.raises(GameError, match="a prior of 1e\\+308 wins"):
        PreferenceGame.from_counts([[0, 1], [2, 0]], prior=1e308)


def test_pairs_never_compared_are_even_under_a_prior():
    assert PreferenceGame.from_counts([[0, 0], [0, 0]], prior=1.0).P[0, 1] == 0.5


@pytest.mark.parametrize(
    ("game", "winner"),
    [("paper", None), ("condorcet:n=6,margin=1e-4", 0), ("all_ties", None), ("all_ties:n=1", 0), ("random:n=2", 1)],
)
def test_condorcet_winner(game, winner):
    game = named_game(game)
    assert game.condorcet_winner() == winner
    if winner is not None:
        assert all(game.P[winner, j] > 0.5 for j in range(game.n) if j != winner)


def test_a_batch_shares_labels_and_has_no_single_winner():
    batch = PreferenceGame(np.stack([PAPER, PAPER]), ("a", "b", "c"))
    assert (batch.batch, batch.n) == (2, 3)
    with pytest.raises(GameError, match="one by one"):
        batch.condorcet_winner()
