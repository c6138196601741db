"""Verdicts on disk: asked once, exactly the pairs of the design, unasked told from failed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from comal.errors import JudgeError, RunError
from comal.judges.asking.oracle import Oracle
from comal.judges.asking.tables import win_rates
from comal.judges.base import Judge
from comal.pipeline.disk.files import read_table, write_table
from comal.pipeline.step.samples import Samples
from comal.pipeline.step.verdicts import Design, judge_once, target_win_rates
from comal.policies.base import Completion, Prompt

ASKED: list[tuple[str, str, str]] = []


@dataclass(frozen=True)
class Longer(Judge):
    """Prefers the longer answer, by a little for each letter; has no verdict on answers with a question mark."""

    @property
    def symmetric(self):
        return True

    def compare(self, comparisons):
        ASKED.extend((c.prompt, c.first, c.second) for c in comparisons)
        return [None if "?" in c.first + c.second else 0.5 + 0.05 * (len(c.first) - len(c.second)) for c in comparisons]


@pytest.fixture(autouse=True)
def _nothing_asked():
    ASKED.clear()


def samples(*groups: list[str]) -> Samples:
    prompts = tuple(Prompt.of_text(f"prompt {i}") for i in range(len(groups)))
    return Samples(prompts, tuple(tuple(Completion(text, (1,), True) for text in group) for group in groups))


SIX = ["a", "bb", "ccc", "dddd", "eeeee", "ffffff"]


def oracle(failures: float = 1.0) -> Oracle:
    return Oracle(Longer(), max_failure_rate=failures)


def test_all_pairs_are_asked_once_and_read_back(tmp_path: Path) -> None:
    path, answers = tmp_path / "v.parquet", samples(["a", "bbb"], ["cc", "c?"])
    judged = judge_once(path, oracle(), answers, None)
    np.testing.assert_allclose(judged.tables[0], [[0.5, 0.4], [0.6, 0.5]])
    np.testing.assert_allclose(judged.tables[1], [[0.5, np.nan], [np.nan, 0.5]])
    assert all(mask.all() for mask in judged.asked)
    assert len(ASKED) == 2
    again = judge_once(path, oracle(), answers, None)
    np.testing.assert_array_equal(again.tables, judged.tables)
    assert len(ASKED) == 2
    rates = target_win_rates(again, self_play=True)
    np.testing.assert_allclose(rates, [[0.45, 0.55], [np.nan, np.nan]])
    table = read_table(path)
    (first, second), _ = answers.answer_ids()
    assert table["first_id"][:4] == [first, first, second, second]
    assert table["second_id"][:4] == [first, second, first, second]
    assert table["prompt_id"][:5] == [answers.prompts[0].id] * 4 + [answers.prompts[1].id]
    assert table["probability"][4:] == [0.5, None, None, 0.5]


def test_samples_against_opponents(tmp_path: Path) -> None:
    judged = judge_once(tmp_path / "v.parquet", oracle(), samples(["a", "bbb"]), samples(["aa", "b?"]))
    np.testing.assert_allclose(judged.tables[0], [[0.45, np.nan], [0.55, np.nan]])
    np.testing.assert_allclose(target_win_rates(judged, self_play=False), [[0.45, 0.55]])


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_a_design_asks_its_pairs_and_no_others(tmp_path: Path, degree: int) -> None:
    answers = samples(*[SIX] * 4)
    judged = judge_once(tmp_path / "v.parquet", oracle(), answers, None, Design(degree, seed=3))
    assert len(ASKED) == 4 * 6 * degree // 2
    for number, (table, asked) in enumerate(zip(judged.tables, judged.asked, strict=True)):
        np.testing.assert_array_equal(np.isfinite(table), asked)
        named = {(first, second) for prompt, first, second in ASKED if prompt == f"prompt {number}"}
        expected = {(SIX[i], SIX[j]) for i, j in np.argwhere(np.triu(asked, 1))}
        assert {frozenset(pair) for pair in named} == {frozenset(pair) for pair in expected}
    assert len({mask.tobytes() for mask in judged.asked}) > 1, "prompts have designs of their own"
    rates = target_win_rates(judged, self_play=True)
    assert np.isfinite(rates).all()


def test_the_same_seed_asks_the_same_and_another_asks_others(tmp_path: Path) -> None:
    answers = samples(*[SIX] * 3)
    one, two, other = (
        judge_once(tmp_path / f"{i}.parquet", oracle(), answers, None, Design(2, seed)).asked
        for i, seed in enumerate((3, 3, 4))
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)
    assert (tmp_path / "0.parquet").read_bytes() == (tmp_path / "1.parquet").read_bytes()


def test_meeting_all_others_is_all_pairs_exactly(tmp_path: Path) -> None:
    answers, others = samples(SIX, SIX[::-1]), samples(SIX, SIX)
    for opponents in (None, others):
        degree = 5 if opponents is None else 6
        everything = judge_once(tmp_path / f"all {degree}", oracle(), answers, opponents)
        design = judge_once(tmp_path / f"k {degree}", oracle(), answers, opponents, Design(degree, 0))
        np.testing.assert_array_equal(design.tables, everything.tables)
        self_play = opponents is None
        expected = np.stack([win_rates(table) for table in everything.tables])
        np.testing.assert_array_equal(target_win_rates(design, self_play), expected)
        np.testing.assert_array_equal(target_win_rates(everything, self_play), expected)


def test_this_additive_judge_is_completed_exactly_and_failures_cost_their_prompt_only(tmp_path: Path) -> None:
    """P − 1/2 is a difference of lengths: with enough prompts the weight is large and the completion close."""
    rng = np.random.default_rng(0)
    groups = [["a" * int(n) for n in rng.permutation(10)[:6]] for _ in range(40)]
    truth = np.array([[0.5 + 0.05 * np.mean([len(a) - len(b) for b in group]) for a in group] for group in groups])
    # Every answer of the last prompt but one fails with one that nobody answers for.
    broken = [*groups, ["?", "?b", "?cc", "?ddd", "?eeee", "?fffff"]]
    judged = judge_once(tmp_path / "v.parquet", oracle(), samples(*broken), None, Design(2, 0))
    rates = target_win_rates(judged, self_play=True)
    assert np.isnan(rates[-1]).all()
    completed = np.sqrt(np.mean((rates[:-1] - truth) ** 2))
    plain = np.stack(
        [0.5 / 6 + 5 / 6 * np.where(a ^ np.eye(6, dtype=bool), t, 0).sum(axis=1) / 2
         for t, a in zip(judged.tables[:-1], judged.asked[:-1], strict=True)]
    )  # fmt: skip
    assert completed < np.sqrt(np.mean((plain - truth) ** 2)) / 4


def test_a_table_of_an_older_comal_is_read_as_all_asked(tmp_path: Path) -> None:
    path, answers = tmp_path / "v.parquet", samples(["a", "b?"])
    judge_once(path, oracle(), answers, None)
    write_table(path, {k: v for k, v in read_table(path).items() if k != "asked"})
    judged = judge_once(path, oracle(), answers, None)
    assert judged.asked[0].all()
    assert np.isnan(target_win_rates(judged, self_play=True)).all()


@pytest.mark.parametrize("others", [samples(["a", "c"]), samples(["b", "a"]), samples(["a", "b"], ["a", "b"])])
def test_verdicts_on_other_answers_are_refused(tmp_path: Path, others: Samples) -> None:
    judge_once(tmp_path / "v.parquet", oracle(), samples(["a", "b"]), None)
    with pytest.raises(RunError, match=r"v\.parquet: the file holds verdicts on other answers; remove it"):
        judge_once(tmp_path / "v.parquet", oracle(), others, None)


def test_a_judge_that_fails_too_often_leaves_no_table(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match="no verdict on 1 of 1 questions"):
        judge_once(tmp_path / "v.parquet", oracle(0.05), samples(["a", "b?"]), None)
    assert list(tmp_path.iterdir()) == []
