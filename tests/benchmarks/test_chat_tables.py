"""What a step asked of the kinds of answers, on numbers that can be followed by hand."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from comal.algorithms.inpo import INPO


def seen(**changed: list[float]) -> Any:
    columns = {
        "win_rate": [0.4, 0.6, 0.7, 0.9],
        "policy_logp": [-2.0, -4.0, -2.0, -4.0],
        "logp_policy": [-2.0, -4.0, -2.0, -4.0],
        "logp_reference": [-3.0, -4.0, -4.0, -6.0],
    }
    kinds = np.array(["brief", "brief", "list", "list"])
    arrays = {name: np.array(values) for name, values in (columns | changed).items()}
    return importlib.import_module("chat_tables").Seen(kinds, arrays)


def test_a_step_asks_for_the_exact_step() -> None:
    """Log-ratios .5 and 2, win rates .5 and .8: eta tau = .75 leaves a quarter of 1.5, and 5 × .3 comes on top."""
    step = next(INPO(5.0, 0.15).program())
    assert seen().extremes() == ("list", "brief")
    assert seen().over(seen().asked(step), "list", "brief") == pytest.approx(0.25 * 1.5 + 1.5)
    assert seen().over(seen().log_ratio(), "list", "brief") == pytest.approx(1.5)


def test_variances_add_up() -> None:
    between, within = seen().variances()
    assert (between, within) == (pytest.approx(0.15**2), pytest.approx(0.1**2))
    assert between + within == pytest.approx(np.var([0.4, 0.6, 0.7, 0.9]))


def test_what_cannot_be_seen_is_no_number() -> None:
    assert seen().over(seen().log_ratio(), "list", "prose") is None
    assert seen(logp_reference=[-2.0, -4.0, -2.0, -4.0]).log_ratio() is None


def test_an_answer_stays_text_in_a_table() -> None:
    cell = importlib.import_module("chat_tables").cell
    assert cell("1. **Bold** | <b>\n2. it's") == "1. &#42;&#42;Bold&#42;&#42; &#124; &lt;b&gt;<br>2. it's"
