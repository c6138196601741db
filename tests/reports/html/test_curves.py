from __future__ import annotations

from comal.reports.html.sections.curves import running_mean


def test_running_means_keep_ends_and_straight_lines() -> None:
    assert running_mean([0, 1, 2, 3, 4], 5) == [0, 1, 2, 3, 4]
    assert running_mean([0, 9, 0, 0], 3) == [0, 3, 3, 0]
    assert running_mean([], 5) == []
