"""Whole runs that pay for less: a design instead of all pairs, and verdicts shared between runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_models
import tiny_run
from comal.errors import ConfigError, JudgeError
from comal.judges.kept.cache import shared_cache_path
from comal.pipeline.cost.recipe import recipe_cost
from comal.pipeline.disk.files import read_json, read_table
from comal.pipeline.disk.progress import journal_entries
from comal.pipeline.disk.result import RunResult
from comal.pipeline.run.run import Run
from comal.pipeline.step import verdicts
from comal.recipes.load import validate
from paid_judge import Paid

OMWU = {"name": "omwu", "eta": 1.0}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A policy whose answers of three tokens are nearly all different."""
    return tiny_models.save_causal_lm(tmp_path_factory.mktemp("base"), hidden_size=32, layers=1)


def recipe(folder: Path, base: str, algorithm: Any = OMWU, **changes: Any) -> dict[str, Any]:
    values = tiny_run.values(folder / "data", algorithm, steps=2) | {"policy": {"model": base, "max_new_tokens": 3}}
    del values["supervised"]
    values["judge"] = {"name": "paid_judge:Paid", "bill": str(folder / "bill")}
    values["sampling"] = {"prompts": 8, "samples": 4, "batch_size": 32, "comparisons": 2}
    return values | changes


def run(folder: Path, values: dict[str, Any]) -> RunResult:
    with Run(folder, validate(values)) as started:
        return started.execute()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, base: str) -> Path:
    folder = tmp_path_factory.mktemp("budget")
    run(folder / "run", recipe(folder, base))
    return folder


def test_a_run_asks_its_design_and_drops_no_prompt(uninterrupted: Path) -> None:
    steps = uninterrupted / "run" / "omwu" / "steps"
    first, second = (read_table(steps / "00001" / f"verdicts-{i}.parquet") for i in (0, 1))
    for table, pairs in ((first, 4 + 2 * 4), (second, 2 * 4)):  # self-play with its diagonal; against the last policy
        asked = np.array(table["asked"]).reshape(8, 16)
        known = np.array([p is not None for p in table["probability"]]).reshape(8, 16)
        np.testing.assert_array_equal(asked, known)
        assert set(asked.sum(axis=1)) <= {pairs, 16}
        assert pairs in asked.sum(axis=1)
    assert np.isfinite(read_table(steps / "00001" / "targets.parquet")["win_rate"]).all()
    entries = journal_entries(uninterrupted / "run" / "omwu" / "journal.jsonl")
    metrics = [entry["metrics"] for entry in entries if entry["instruction"]["do"] == "prox"]
    assert [m["dropped_prompts"] for m in metrics] == [0, 0]
    # Step 0: policy and last policy are the same, two self-play designs of 4 edges; then one of each kind.
    assert [m["comparisons"] for m in metrics] == [8 * (4 + 4), 8 * (4 + 8)]


class StoppedError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("stop", [1, 3, 4])
def test_stopped_inside_the_judge_and_continued_it_ends_the_same(
    tmp_path: Path, uninterrupted: Path, base: str, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """In the middle of a table: some of its verdicts are kept, the rest must be the same design's."""
    values = recipe(tmp_path, base)
    whole, tables = verdicts.write_table, 0

    def stopping(path: Path, columns: Any, *notes: Any) -> None:
        nonlocal tables
        tables += 1
        if tables == stop:
            raise StoppedError
        whole(path, columns, *notes)

    monkeypatch.setattr(verdicts, "write_table", stopping)
    with pytest.raises(StoppedError):
        run(tmp_path / "run", values)
    paid = Paid.calls(tmp_path / "bill")
    monkeypatch.undo()
    run(tmp_path / "run", values)
    assert (tmp_path / "run/result.json").read_bytes() == (uninterrupted / "run/result.json").read_bytes()
    for path in sorted((uninterrupted / "run").glob("omwu/steps/*/*.parquet")):
        assert (tmp_path / "run" / path.relative_to(uninterrupted / "run")).read_bytes() == path.read_bytes()
    assert Paid.calls(tmp_path / "bill") == Paid.calls(uninterrupted / "bill"), "nothing was paid for twice"
    assert paid > 0


def test_certificates_judge_all_pairs(tmp_path: Path, base: str) -> None:
    """They take the exponential of a win rate, which noise would bias."""
    run(tmp_path / "run", recipe(tmp_path, base, {"name": "comal", "inner": tiny_run.INPO}))
    (path, *_) = sorted((tmp_path / "run").glob("comal/certificates/*/verdicts.parquet"))
    assert all(read_table(path)["asked"])


def test_runs_that_share_a_cache_pay_once_and_end_the_same(
    tmp_path: Path, uninterrupted: Path, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data-home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    values = recipe(tmp_path, base, verdict_cache="shared")
    run(tmp_path / "one", values)
    paid = Paid.calls(tmp_path / "bill")
    assert paid == Paid.calls(uninterrupted / "bill") > 0
    assert shared_cache_path().is_file()
    run(tmp_path / "two", values)
    assert Paid.calls(tmp_path / "bill") == paid
    for name in ("one", "two"):
        assert not (tmp_path / name / "verdicts.sqlite").exists()
        assert (tmp_path / name / "result.json").read_bytes() == (uninterrupted / "run/result.json").read_bytes()
    # Where verdicts are kept is no other configuration.
    (tmp_path / "one" / "result.json").unlink()
    run(tmp_path / "one", values | {"verdict_cache": str(tmp_path / "mine.sqlite")})
    assert (tmp_path / "one/result.json").read_bytes() == (uninterrupted / "run/result.json").read_bytes()
    assert (tmp_path / "mine.sqlite").is_file()
    assert read_json(tmp_path / "one" / "run.json")["recipe"]["judge"]["bill"] == str(tmp_path / "bill")


def test_a_cache_that_is_none_is_found_before_anything_is_computed(tmp_path: Path, base: str) -> None:
    (tmp_path / "diary.sqlite").write_text("words, words, words; more than a header of a database holds" * 9)
    with pytest.raises(JudgeError, match=r"diary\.sqlite: cannot be used as a verdict cache"):
        run(tmp_path / "run", recipe(tmp_path, base, verdict_cache=str(tmp_path / "diary.sqlite")))
    assert not (tmp_path / "run").exists()


def test_the_plan_counts_the_design(tmp_path: Path, base: str) -> None:
    def comparisons(**sampling: Any) -> int:
        values = recipe(tmp_path, base)
        values["sampling"] = values["sampling"] | sampling
        return int(recipe_cost(validate(values))["total"]["comparisons"])

    # Two steps of 8 prompts: against the policy itself and the last policy, which at the first step is still itself.
    assert comparisons() == 8 * ((4 + 4) + (4 + 8))
    assert comparisons(comparisons="all") == 8 * ((6 + 6) + (6 + 16))


@pytest.mark.parametrize(
    ("comparisons", "samples", "said"),
    [
        (0, 4, "need `all`, or the number of others that each of the 4 samples meets, 1 to 3, got 0"),
        (4, 4, "1 to 3, got 4"),
        (True, 4, "1 to 3, got True"),
        ("some", 4, "1 to 3, got 'some'"),
        (3, 5, "5 samples cannot each meet 3 others; take an even number of one of them, got 3"),
    ],
)
def test_designs_that_cannot_be(tmp_path: Path, base: str, comparisons: Any, samples: int, said: str) -> None:
    values = recipe(tmp_path, base)
    values["sampling"] = {"samples": samples, "comparisons": comparisons}
    with pytest.raises(ConfigError) as caught:
        validate(values)
    assert str(caught.value).startswith("sampling.comparisons: ")
    assert said in str(caught.value)
