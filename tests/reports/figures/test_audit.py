import numpy as np
import pytest

from comal.errors import DataError
from comal.evaluation.audit.audit import audit_counts, audit_rates, audit_verdicts
from comal.evaluation.audit.verdicts import Row
from comal.reports.figures.audit import audit_figure
from drawn_verdicts import CIRCLE, verdicts


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_win_rates_in_the_order_of_scores_and_the_residual_beside():
    """y_cb... c beats a and b beats c at .8, a and b are even: scores (b, c, a) = (.1, 0, −.1), the rest .2 round."""
    P = np.array([[0.5, 0.5, 0.2], [0.5, 0.5, 0.8], [0.8, 0.2, 0.5]])
    figure = audit_figure(audit_rates(P, ("a", "c", "b"), "three"))
    left, right, _ = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["c", "b", "a"]
    assert texts(left) == ["80", "50", "20", "80", "50", "20"]
    assert texts(right) == ["+20", "−20", "−20", "+20", "+20", "−20"]
    assert "66.7% of the variance" in right.get_title(loc="left")


def test_large_and_noisy_tables_draw(tmp_path):
    n = 50
    wins = np.random.default_rng(0).integers(1, 20, size=(n, n)) * (1 - np.eye(n))
    figure = audit_figure(audit_counts(wins, [f"a system with a long name {i}" for i in range(n)], "many"))
    assert texts(figure.axes[0]) == []
    figure.savefig(tmp_path / "f.png")
    assert "without noise" in audit_figure(audit_counts(CIRCLE * 50, "abc", "c")).axes[1].get_title(loc="left")


def test_answers_without_systems_have_no_figure():
    with pytest.raises(DataError, match="--plot"):
        audit_figure(audit_verdicts(verdicts([Row(0, 0, 1, 1.0)], 2, 1, named=False)))
