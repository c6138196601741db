"""Two judges compared: McNemar with prompts as units, and planted differences that must be found."""

from __future__ import annotations

import json
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from comal.errors import DataError
from comal.evaluation.audit.verdicts import Row, Verdicts
from comal.evaluation.audit.versus import compare_judges, difference, sign_flip_p
from command_line import comal, refused


def judged(prefers: object, prompts: int = 30, bias: float = 0.0, name: str = "v") -> Verdicts:
    """Three answers a prompt in both orders; `prefers(x, i, j)` is Pr(i ≻ j)."""
    rows = [
        Row(x, i, j, float(np.clip(prefers(x, i, j) + bias, 0, 1)))  # type: ignore[operator]
        for x in range(prompts)
        for i, j in permutations(range(3), 2)
    ]
    ids = tuple(str(x) for x in range(prompts))
    return Verdicts(name, ids, (), (0, 0, 0), (name,), tuple(rows), np.full((prompts, 3), np.nan), exact=True)


def order(x: int, i: int, j: int) -> float:
    return 0.8 if i < j else 0.2


def circle(x: int, i: int, j: int) -> float:
    return 0.8 if (j - i) % 3 == 1 else 0.2


def by_name(differences: object) -> dict[str, object]:
    return {one.what: one for one in differences}  # type: ignore[attr-defined]


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (5, 0), (3, 1), (12, 4), (2, 9)])
def test_with_one_thing_a_prompt_it_is_mcnemars_exact_test(only_first: int, only_second: int) -> None:
    n = only_first + only_second
    expected = stats.binomtest(only_first, n).pvalue if n else 1.0
    assert sign_flip_p([1] * only_first + [-1] * only_second + [0] * 7) == pytest.approx(expected)


def test_all_signs_of_uneven_prompts_are_counted() -> None:
    """|3 + 1 − 1| = 3: of the 8 sums ±3 ±1 ±1 six are as far from 0 (±5, ±3 twice each)."""
    assert sign_flip_p([3, 1, -1]) == pytest.approx(6 / 8)


def test_a_more_cyclic_judge_is_told_from_a_transitive_one() -> None:
    found = by_name(compare_judges(judged(circle), judged(order)))
    cycles = found["triples of answers that go round"]
    assert (cycles.objects, cycles.prompts, cycles.first, cycles.second) == (30, 30, 1.0, 0.0)
    assert (cycles.only_first, cycles.only_second) == (30, 0)
    assert cycles.p_value == pytest.approx(2 * 0.5**30)
    assert found["winner flips with the order"].p_value == 1.0


def test_a_judge_that_follows_the_order_flips() -> None:
    found = by_name(compare_judges(judged(order), judged(order, bias=0.5)))
    flips = found["winner flips with the order"]
    assert (flips.objects, flips.first, flips.second, flips.only_second) == (90, 0.0, 1.0, 90)
    assert flips.p_value == pytest.approx(2 * 0.5**30), "three pairs a prompt are one unit"


def test_people_decide_who_is_wrong_where_they_decided() -> None:
    people = judged(lambda x, i, j: 0.5 if {i, j} == {0, 1} else order(x, i, j))
    found = by_name(compare_judges(judged(lambda x, i, j: 1 - order(x, i, j)), judged(order), people))
    wrong = found["winner is not people's"]
    assert (wrong.objects, wrong.first, wrong.second) == (60, 1.0, 0.0)


def test_alike_judges_differ_significantly_as_often_as_the_level_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        events = [
            {(str(x), pair): bool(rng.random() < 0.3) for x in range(25) for pair in combinations(range(3), 2)}
            for _ in range(2)
        ]
        found = difference("it", events[0], events[1])
        assert found is not None
        hits += found.p_value <= 0.05
    assert hits <= stats.binom.isf(1e-4, 400, 0.05)


def test_ties_and_missing_verdicts_decide_nothing() -> None:
    even = judged(lambda x, i, j: 0.5)
    assert "triples of answers that go round" not in by_name(compare_judges(even, judged(order)))
    one = judged(order, prompts=1)
    other = Verdicts("w", ("z",), (), (0, 0, 0), ("w",), one.rows, one.lengths)
    with pytest.raises(DataError, match="shares no prompt"):
        compare_judges(one, other)


def outputs(folder: Path) -> list[Path]:
    texts = {"a": "x" * 5, "b": "x" * 10, "c": "x" * 20}
    paths = []
    for system, text in texts.items():
        rows = [{"instruction": f"q{i}", "output": text + str(i), "generator": system} for i in range(12)]
        paths.append(folder / f"{system}.json")
        paths[-1].write_text(json.dumps(rows))
    return paths


LONGER = "{name: rules, rules: [{measure: characters}]}"
SHORTER = "{name: rules, rules: [{measure: characters, prefer: less}]}"


def test_the_command_compares_two_judges(tmp_path: Path) -> None:
    done = comal("audit", *outputs(tmp_path), "--judge", LONGER, "--judge", SHORTER, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [audit["name"] for audit in found["audits"]] == [LONGER, SHORTER]
    assert {d["what"]: d["p_value"] for d in found["differences"]}["triples of answers that go round"] == 1.0
    shown = comal("audit", *outputs(tmp_path), "--judge", LONGER, "--judge", SHORTER)
    assert "triples of answers that go round" in shown.stdout


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    paths = outputs(tmp_path)
    refused(comal("audit", *paths, *["--judge", LONGER] * 3), "--judge", "two judges are compared, got 3")
    refused(comal("audit", *paths, *["--judge", LONGER] * 2, "--plot", "x.png"), "--plot", "judges are compared")
    verdicts = tmp_path / "v.jsonl"
    verdicts.write_text('{"prompt_id": "q", "system_1": "a", "system_2": "b", "preference": 1}\n')
    refused(comal("audit", verdicts, *["--judge", LONGER] * 2), "holds no answers to be judged")
