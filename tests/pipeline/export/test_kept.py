"""Exports of kept verdicts alone: each question once, both presentation orders averaged."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest

from comal.judges.base import Comparison
from comal.judges.kept.cache import VerdictCache
from comal.judges.python import Python
from comal.pipeline.disk.files import read_table
from comal.resolve import resolve_judge
from comal.rewards import GroupWinRate
from command_line import comal, refused

JUDGE = {"name": "openai", "model": "m"}
FINGERPRINT = resolve_judge(JUDGE, "judge").fingerprint()


def keep(path: Path, fingerprint: str, verdicts: dict[tuple[str, str, str], float], name: str = "openai") -> None:
    found = {Comparison(*texts): p for texts, p in verdicts.items()}
    VerdictCache(path, fingerprint, {"name": name, "model": "m"}).put(found)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A judge of both orders: .9 and .7 for `yes`, a toss-up, a question with one order only; and a symmetric judge."""
    path = tmp_path / "verdicts.sqlite"
    keep(path, FINGERPRINT, {
        ("one?", "yes", "no"): 0.9, ("one?", "no", "yes"): 0.3,
        ("one?", "yes", "may\u2028be \ud800"): 0.8, ("one?", "may\u2028be \ud800", "yes"): 0.8,
        ("two?", "a", "b"): 0.0, ("two?", "b", "a"): 0.8,
        ("two?", "a", "c"): 1.0,
    })  # fmt: skip
    return path


def test_both_orders_are_one_pair_and_half_an_answer_is_none(kept: Path, tmp_path: Path) -> None:
    done = comal("export", kept, "--to", "trl-dpo", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "2 rows; left out: one presentation order only: 1, toss-up: 1" in done.stderr
    rows = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "hf"))
    assert rows.column_names == ["prompt", "chosen", "rejected", "probability", "margin"]
    first, second = sorted(rows, key=lambda row: row["probability"])
    assert first["prompt"] == [{"role": "user", "content": "one?"}]
    assert (first["chosen"][0]["content"], first["rejected"][0]["content"]) == ("yes", "no")
    assert first["probability"] == pytest.approx((0.9 + 0.7) / 2)
    assert (second["chosen"][0]["content"], second["rejected"][0]["content"]) == ("b", "a")
    assert (second["probability"], second["margin"]) == (pytest.approx(0.9), pytest.approx(0.8))
    card = (tmp_path / "out" / "README.md").read_text()
    assert FINGERPRINT in card
    assert "- one presentation order only: 1" in card
    assert "of several turns a transcript" in card


def test_a_symmetric_judge_is_asked_one_order(tmp_path: Path) -> None:
    path = tmp_path / "v.sqlite"
    keep(path, "f", {("q", "a", "b"): 0.2, ("q", "a", "c"): 0.5})
    assert comal("export", path, "--to", "parquet", "-o", tmp_path / "out").exit_code == 0
    table = read_table(tmp_path / "out" / "pairs.parquet")
    found = set(zip(table["first"], table["second"], table["probability"], strict=True))
    assert found == {("a", "b", 0.2), ("a", "c", 0.5)}
    assert table["method"] == [None, None]


def test_texts_margins_and_whose_verdicts(kept: Path, tmp_path: Path) -> None:
    keep(kept, "0f" * 32, {("one?", "yes", "no"): 0.1}, name="other")
    refused(comal("export", kept, "--to", "openrlhf"), "--judge", "several judges", FINGERPRINT[:12], "other")
    refused(comal("export", kept, "--to", "openrlhf", "--judge", "othr"), "`othr` has no verdicts", "`other`")
    options = ("--to", "openrlhf", "--as", "text", "-o", tmp_path / "out")
    assert comal("export", kept, *options, "--judge", "0f0f").exit_code == 0
    assert json.loads((tmp_path / "out" / "train.jsonl").read_text())["chosen"] == "no"
    done = comal("export", kept, *options, "--judge", "openai", "--min-margin", "0.7")
    assert "1 rows; left out: below --min-margin: 1" in done.stderr
    for directory in (tmp_path, kept.parent):
        assert not list(directory.glob("*-openrlhf")), "what is refused leaves nothing"


def test_what_rewards_keep_can_be_exported(tmp_path: Path) -> None:
    path, judge = tmp_path / "verdicts.sqlite", Python("judge_functions:longer", expensive=True)
    GroupWinRate(judge, cache=path)("q", ["a", "bbb", "cc"])
    done = comal("export", path, "--to", "llamafactory", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "3 rows" in done.stderr
    assert set(json.loads((tmp_path / "out" / "dataset_info.json").read_text())) == {"verdicts"}


def test_what_cannot_be_exported_is_said(kept: Path, tmp_path: Path) -> None:
    refused(comal("export", kept, "--to", "trl-grpo"), "--to: `trl-grpo` needs a run", "trl-dpo")
    refused(comal("export", kept, "--to", "alpaca-eval"), "needs a run")
    refused(comal("export", kept, "--to", "trl-dpo", "--method", "comal"), "--method: is for runs")
    refused(
        comal("export", kept, "--to", "trl-dpo", "--min-margin", "0.95"), "no pair is left", "below --min-margin: 2"
    )
    refused(comal("export", tmp_path, "--to", "trl-dpo", "--judge", "openai"), "--judge: is for files")
    (tmp_path / "text.sqlite").write_text("no data base at all, but longer than a header")
    refused(comal("export", tmp_path / "text.sqlite", "--to", "trl-dpo"), "cannot be used as a verdict cache")
