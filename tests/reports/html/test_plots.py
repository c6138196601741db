"""Marks stand where their numbers say."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comal.reports.html.plots.axes import WIDTH, nice_ticks, spread
from comal.reports.html.plots.dots import dot_plot
from comal.reports.html.plots.lines import Series, ValueAxis, line_plot
from comal.reports.html.plots.simplex import simplex, to_plane


def test_corners_and_centre_of_the_triangle() -> None:
    top, left, right = (to_plane(corner) for corner in ((1, 0, 0), (0, 1, 0), (0, 0, 1)))
    assert top[1] < left[1] == right[1]
    assert left[0] < top[0] == WIDTH / 2 < right[0]
    centre = to_plane((1, 1, 1))
    assert centre == pytest.approx([sum(p[i] for p in (top, left, right)) / 3 for i in (0, 1)], abs=0.1)


def test_a_path_keeps_its_marks() -> None:
    drawn = simplex("p", "m", 1, ("a", "b", "c"), [(1, 0, 0), (0, 1, 0), (0, 0, 1)], moves=[1, 9], star=(1, 1, 1))
    assert drawn.moves == (drawn.dots[1],)  # the move after the last sampled step has no place yet
    assert drawn.star == to_plane((1, 1, 1))
    assert drawn.path.count("L") == 2


def test_intervals_keep_their_order_on_the_axis() -> None:
    plot = dot_plot("d", "t", [("a", 0.6, 0.55, 0.65, 1), ("b", 0.52, 0.5, 0.54, 2)], (0.45, 0.7))
    a, b = plot.rows
    assert plot.half == b.low < b.x < b.high < a.low < a.x < a.high
    assert (a.value, b.value) == ("60.0%", "52.0%")
    assert a.y < b.y


def test_a_line_plot_includes_what_it_must_show() -> None:
    plot = line_plot(
        "l", "t", [Series("s", 1, [(0, 0.6), (4, 0.7)], [(0.58, 0.62), (0.69, 0.71)])], 4, ValueAxis(rule=(0.5, "50%"))
    )
    assert plot is not None
    assert plot.rule is not None
    (line,) = plot.lines
    assert plot.top <= line.dots[1][1] < line.dots[0][1] < plot.rule.at <= plot.bottom
    assert (line.dots[0][0], line.dots[1][0]) == (plot.left, pytest.approx(plot.right, abs=0.1))
    assert [t.label for t in plot.x_ticks] == ["0", "1", "2", "3", "4"]


def test_nothing_to_draw() -> None:
    assert line_plot("l", "t", [Series("s", 1, [])], 4) is None


def test_a_constant_line_has_an_axis() -> None:
    plot = line_plot("l", "t", [Series("s", 1, [(0, 0.5), (1, 0.5)])], 1)
    assert plot is not None
    assert plot.top < plot.lines[0].dots[0][1] < plot.bottom


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_ticks_lie_inside_and_are_few(low: float, width: float) -> None:
    ticks = nice_ticks(low, low + width, 5)
    assert 1 <= len(ticks) <= 6
    assert all(low - 1e-6 <= t <= low + width + 1e-6 for t in ticks)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=6))
def test_labels_keep_apart_inside_and_in_order(wanted: list[float]) -> None:
    places = spread(wanted, 13, 0, 100)
    ordered = sorted(places)
    assert all(b - a >= 13 - 1e-9 for a, b in pairwise(ordered))
    assert ordered[0] >= -1e-9
    assert ordered[-1] <= 100 + 1e-9
    assert sorted(range(len(wanted)), key=lambda i: places[i]) == sorted(range(len(wanted)), key=lambda i: wanted[i])
