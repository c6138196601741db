"""What the figures contain; how they look was looked at."""

import numpy as np
import pytest

from comal.algorithms.mwu import MWU
from comal.errors import DataError
from comal.games import named_game, nash_policy, solve
from comal.reports.figures.games import Course, labels_apart, save, solution_figure, synthetic_figure


def test_three_answers_have_a_path_and_others_do_not():
    for name, record, panels in (("paper", "policies", 2), ("random:n=5", "gaps", 1)):
        game = named_game(name)
        figure = solution_figure(game, solve(game, record=record), "comal", 1e-8)
        assert len(figure.axes) == panels


def test_work_is_counted_in_whole_products():
    game = named_game("paper")
    solution = solve(game, record="gaps")
    assert solution.products < 6, "so few that there is room for halves"
    ticks = solution_figure(game, solution, "comal", 1e-8).axes[0].get_xticks()
    assert np.array_equal(ticks, np.round(ticks))


def test_an_unrecorded_solution_cannot_be_drawn():
    game = named_game("paper")
    with pytest.raises(ValueError, match="record"):
        solution_figure(game, solve(game), "comal", 1e-8)


def test_gaps_of_zero_can_be_drawn(tmp_path):
    game = named_game("all_ties")
    save(solution_figure(game, solve(game, record="policies"), "comal", 0.0), tmp_path / "ties.png")


def test_every_method_is_named_beside_its_curve():
    game = named_game("paper")
    trajectory = solve(game, MWU(0.3), 0.0, 50, record="policies").trajectory
    courses = [
        Course(name, trajectory.prox_steps, trajectory.gaps + offset, trajectory.policies)
        for name, offset in (("one", 0.1), ("two", 0.1), ("three", 0.2))
    ]
    figure = synthetic_figure(game, courses, nash_policy(game))
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert texts == {"one", "two", "three"}
    assert len(figure.axes) == 4


def test_labels_of_equal_values_are_moved_apart():
    game = named_game("paper")
    figure = solution_figure(game, solve(game, record="gaps"), "comal", 1e-8)
    heights = labels_apart(figure.axes[0], [0.5, 0.5, 0.5, 1e-9], least=0.05)
    assert np.diff(np.sort(heights)).min() >= 0.05 - 1e-12
    assert int(np.argmin(heights)) == 3
    assert max(heights) <= 1.0 + 1e-12


def test_a_place_that_cannot_be_written_is_the_users_to_mend(tmp_path):
    (tmp_path / "file").write_text("")
    game = named_game("paper")
    figure = solution_figure(game, solve(game, record="gaps"), "comal", 1e-8)
    with pytest.raises(DataError, match="cannot be written"):
        save(figure, tmp_path / "file" / "figure.png")
