"""What an audit says of few comparisons, and of many."""

import io

import pytest
from rich.console import Console

from comal.evaluation.audit.audit import audit_counts, audit_rates
from comal.reports.terminal.audit import print_audit


def said(result):
    out = io.StringIO()
    print_audit(result, Console(file=out, width=400, highlight=False))
    return out.getvalue()


def circle(wins, losses):
    return [[0, wins, losses], [losses, 0, wins], [wins, losses, 0]]


def test_two_comparisons_a_pair_say_that_nothing_is_settled():
    """2:0 has p = 1/4 one-sided: no winner and no circle, whoever leads; "beaten 100% of the time" is not known."""
    text = said(audit_counts(circle(2, 0), "abc", "sparse"))
    assert "100.0% of the time" not in text
    assert "these comparisons do not say whether another is preferred to it (p = 0.5)" in text
    assert "not settled by these comparisons; in this sample" in text
    assert "Cannot tell" in text


def test_a_winner_of_two_comparisons_a_pair_is_not_settled():
    text = said(audit_counts([[0, 2, 2], [0, 0, 2], [0, 0, 0]], "abc", "sparse"))
    assert "not settled; a in this sample, p = 0.75" in text


def test_many_comparisons_say_it_with_their_p_value():
    text = said(audit_counts(circle(90, 10), "abc", "many"))
    assert "beaten 90.0% of the time, p < 0.0001" in text
    assert "not settled" not in text
    assert "which another is preferred to 90.0% of the time" in text
    winner = said(audit_counts([[0, 90, 90], [10, 0, 60], [10, 40, 0]], "abc", "many"))
    assert "Condorcet winner  a, p < 0.0001" in winner


@pytest.mark.parametrize(("rate", "end"), [(0.9, "no accident, use COMAL"), (0.1, "no accident, any reward-model")])
def test_rates_without_counts_are_called_no_more_than_the_table(rate, end):
    table = [[0.5, 0.9, 1 - rate], [0.1, 0.5, 0.9], [rate, 0.1, 0.5]]
    text = said(audit_rates(table, "abc", "rates"))
    assert end in text
    assert "give --counts" in text
