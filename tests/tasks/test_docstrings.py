from __future__ import annotations

from pathlib import Path

import pytest

from comal.tasks import docstrings
from comal.tasks.docstrings import (
    HELD_OUT,
    PROMPT_CHARS,
    Example,
    first_sentence,
    harvest,
    held_out,
    of_split,
    opening,
)

_SOURCE = '''
def loud(self, text: str, times=2, *rest, **more):
    """Return the text in capitals, repeated. More here."""
    return text.upper() * times

def silent(x):
    return x

def odd():
    """>>> odd()"""
'''


@pytest.fixture(scope="module")
def library() -> list[Example]:
    return harvest()


def test_a_pair_is_a_head_with_its_opening_sentence_and_undocumented_functions_are_prompts_only(
    tmp_path: Path,
) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "skipped.py").write_text(_SOURCE)
    (tmp_path / "broken.py").write_text("def (")
    (tmp_path / "a.py").write_text(_SOURCE)
    found = {e.name: e for e in harvest(root=tmp_path, prompt_chars=200)}
    assert set(found) == {"loud", "silent"}
    assert found["loud"].prompt == "def loud(text, times, *rest, **more):\n return text.upper() * times"
    assert found["loud"].answer == "Return the text in ..."
    assert found["silent"].answer == ""
    assert {e.source for e in found.values()} == {"a.py"}


def test_harvest_is_deterministic(library: list[Example]) -> None:
    docstrings._whole_examples.cache_clear()
    assert harvest() == library


def test_no_prompt_is_repeated_and_no_held_out_name_is_elsewhere(library: list[Example]) -> None:
    assert len({e.prompt for e in library}) == len(library)
    answers = [e.answer.casefold() for e in library if e.answer]
    assert len(set(answers)) == len(answers)
    for split in HELD_OUT:
        names = {e.name for e in of_split(library, split)}
        assert len(names) > 100
        assert names.isdisjoint(e.name for e in library if e.split != split)


def test_only_supervised_examples_have_an_answer_and_prompts_keep_to_the_budget(
    library: list[Example],
) -> None:
    assert all((e.answer != "") == (e.split == "supervised") for e in library)
    assert max(len(e.prompt) for e in library) <= PROMPT_CHARS
    assert len(of_split(library, "supervised")) > 1000


def test_the_split_of_a_name_does_not_depend_on_the_others() -> None:
    shares = [held_out(f"name_{i}") for i in range(4000)]
    for split, share in HELD_OUT.items():
        assert shares.count(split) / len(shares) == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("Return x.", "Return x."),
        ("Return\n  x\n\nMore.", "Return x."),
        (">>> f(1)", ""),
        ("", ""),
        ("a = b", ""),
    ],
)
def test_first_sentence(docstring: str, sentence: str) -> None:
    assert first_sentence(docstring) == sentence


def test_opening_always_writes_an_end() -> None:
    assert opening("One two three.", 3) == "One two three."
    assert opening("One two three four.", 3) == "One two three ..."
