"""The verdict cache as an oracle uses it: what goes in comes out, for the same judge only, whoever was first."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comal.judges.asking.oracle import Oracle
from comal.judges.base import Comparison, Judge
from comal.judges.kept.cache import VerdictCache, shared_cache_path
from comal.judges.kept.upkeep import Selection, export_verdicts

# Lone surrogates and NUL are what models can be made to write and databases choke on.
TEXTS = st.text(st.characters(codec=None, exclude_categories=()), max_size=8)


@settings(max_examples=40)
@given(st.dictionaries(st.builds(Comparison, TEXTS, TEXTS, TEXTS), st.floats(0, 1), max_size=8))
def test_any_text_and_any_probability_come_back_exactly(tmp_path_factory, verdicts) -> None:
    path = tmp_path_factory.mktemp("c") / "v.sqlite"
    cache = VerdictCache(path, "f", {"name": "mine"})
    assert cache.put(verdicts) == verdicts
    assert cache.get(list(verdicts)) == verdicts
    exported = {(r["prompt"], r["first"], r["second"]): r["probability"] for r in export_verdicts(path, Selection())}
    assert exported == {(c.prompt, c.first, c.second): p for c, p in verdicts.items()}


def test_a_put_hands_back_what_was_kept_before(tmp_path: Path) -> None:
    question, other = Comparison("x", "a", "b"), Comparison("x", "a", "c")
    assert VerdictCache(tmp_path / "v", "f").put({question: 0.25}) == {question: 0.25}
    assert VerdictCache(tmp_path / "v", "f").put({question: 0.75, other: 1.0}) == {question: 0.25, other: 1.0}
    assert VerdictCache(tmp_path / "v", "g").put({question: 0.75}) == {question: 0.75}


@dataclass(frozen=True)
class Moody(Judge):
    """Another verdict each time, as from a sampled judge; somebody else may be asking meanwhile."""

    path: str

    @property
    def symmetric(self):
        return True

    def compare(self, comparisons):
        answers = [0.125 * (1 + len(MOODS)) for _ in comparisons]
        MOODS.append(len(comparisons))
        if len(MOODS) == 1:  # the other run asks the same, and is done first
            Oracle(self, Path(self.path)).win_probabilities([comparisons[0]])
        return answers


MOODS: list[int] = []


def test_two_runs_that_ask_at_once_go_on_with_the_same_verdict(tmp_path: Path) -> None:
    """Or the slower one, killed and continued, would go on with another verdict than before."""
    MOODS.clear()
    judge, question = Moody(str(tmp_path / "v")), Comparison("x", "a", "b")
    first = Oracle(judge, tmp_path / "v").win_probabilities([question])
    assert MOODS == [1, 1], "both asked the judge"
    continued = Oracle(judge, tmp_path / "v").win_probabilities([question])
    assert first == continued == [0.25], "the one that was done first"
    assert MOODS == [1, 1]


def test_texts_are_stored_once(tmp_path: Path) -> None:
    answers = [f"answer {i}" for i in range(6)]
    asked = {Comparison("a prompt", a, b): 0.5 for a in answers for b in answers if a != b}
    VerdictCache(tmp_path / "v", "f").put(asked)
    with closing(sqlite3.connect(tmp_path / "v")) as connection:
        stored = [text for (text,) in connection.execute("SELECT text FROM texts")]
    assert sorted(stored) == sorted(["a prompt", *answers])


def test_where_the_users_own_cache_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    if sys.platform == "linux":
        assert shared_cache_path() == tmp_path / "data" / "comal" / "verdicts.sqlite"
