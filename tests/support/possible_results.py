"""What is true of the JSON of every plan, audit and evaluation, whatever they are of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from comal.evaluation.audit.result import Transitivity


def counts(plain: dict[str, Any], names: Iterable[str]) -> None:
    """All of these are whole numbers from 0, or are not known."""
    for name in names:
        value = plain[name]
        assert value is None or (type(value) is int and value >= 0), f"{name}: {value!r}"


def win_rates(table: list[list[float | None]]) -> None:
    """A square of probabilities in which the two of a pair add up to 1; None where they never met."""
    for i, row in enumerate(table):
        assert len(row) == len(table)
        for j, p in enumerate(row):
            q = table[j][i]
            assert (p is None) == (q is None), f"cell {i}, {j}"
            assert p is None or q is None or (0 <= p <= 1 and abs(p + q - 1) < 1e-9), f"cell {i}, {j}: {p} and {q}"


def probabilities(values: Iterable[float]) -> None:
    """Numbers from 0 to 1 that add up to 1."""
    found = list(values)
    assert all(0 <= p <= 1 + 1e-12 for p in found), found
    assert abs(sum(found) - 1) < 1e-9, found


def planned(plain: dict[str, Any]) -> None:
    """Of `comal plan`."""
    total = plain["total"]
    counts(total, total.keys() - {"unknown", "judge_spend", "memory", "warnings"})
    counts(total["memory"] or {}, total["memory"] or {})
    assert all(warning and isinstance(warning, str) for warning in total["warnings"])
    for cost in total["judge_spend"].values():
        for bound in ("most", "usual"):
            counts(cost[bound], ("calls", "input_tokens", "output_tokens"))
            assert cost[bound]["cost"] >= 0
    for method in plain["methods"]:
        counts(method, ("reference_moves", "looks", "prompts", "comparisons", "answers"))
        assert method["program"]
    if "problem" not in plain["certify"]:
        counts(plain["certify"], ("exploiters", "steps", "training", "measuring", "judge_calls"))


def audited(plain: dict[str, Any]) -> None:
    """Of `comal audit`."""
    counts(plain, ("prompts", "verdicts", "failures"))
    assert plain["failures"] <= plain["verdicts"]
    assert plain["verdict"] in get_args(Transitivity)
    assert plain["advice"]
    assert plain["p_value"] is None or 0 <= plain["p_value"] <= 1
    structure = plain["structure"]
    if structure is None:
        return
    win_rates(structure["rates"])
    if structure["nash"] is not None:
        probabilities(structure["nash"])
    if structure["counts"] is not None:
        for i, row in enumerate(structure["counts"]):
            assert all(count >= 0 and count == structure["counts"][j][i] for j, count in enumerate(row))


def evaluated(plain: dict[str, Any]) -> None:
    """Of `comal eval`."""
    policies = plain["policies"].values()
    win_rates(plain["matrix"])
    counts(plain["judging"], ("comparisons", "questions", "failures"))
    probabilities(policy["nash"] for policy in policies)
    probabilities(policy["nash_averaging"] for policy in policies)
    assert plain["game"]["gap"]["value"] >= 0
    for pair in plain["pairs"]:
        counts(pair["verdicts"], pair["verdicts"])
        assert sum(pair["prompts"].values()) == plain["num_prompts"]
    assert all(policy["lengths"]["answers"] >= plain["num_prompts"] for policy in policies)
