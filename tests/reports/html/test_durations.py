from __future__ import annotations

import pytest

from comal.reports.html.wording import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (7.26, "7.3 s"), (59.96, "1 min 0 s"), (75, "1 min 15 s"), (7300, "2 h 1 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
