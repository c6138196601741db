"""Everyday instructions: many, distinct, with no topic in two splits; and kinds of answers told by a rule."""

from __future__ import annotations

from collections import Counter

import pytest

from comal.errors import DataError
from comal.pipeline.data.prompts import load_pairs, load_prompts, split_prompts
from comal.recipes.settings import DataSource, PromptSettings
from comal.tasks.everyday import BRIEF_WORDS, HELD_OUT, TASKS, TOPICS, instructions, kind_of, split_of

PROMPTS = instructions()


def test_there_are_enough_and_no_two_are_alike() -> None:
    texts = [instruction.prompt for instruction in PROMPTS]
    assert len(set(texts)) == len(texts) == len(TOPICS) * sum(map(len, TASKS.values()))
    assert len(texts) >= 600
    assert all("{" not in text and text[0].isupper() and text[-1] in ".?" for text in texts)


def test_a_topic_is_in_one_split_with_all_its_tasks() -> None:
    splits = {topic: {i.split for i in PROMPTS if i.topic == topic} for topic in TOPICS}
    assert all(len(found) == 1 for found in splits.values())
    assert Counter(map(split_of, TOPICS)) == {**HELD_OUT, "train": len(TOPICS) - sum(HELD_OUT.values())}
    assert {(i.task, i.split) for i in PROMPTS} == {(t, s) for t in TASKS for s in (*HELD_OUT, "train")}


def test_prompts_of_a_run_are_those_of_the_splits() -> None:
    sources = {split: DataSource(source="task:everyday", split=split) for split in ("train", "validation", "test")}
    splits = split_prompts(PromptSettings(**sources), seed=0)
    for split in ("train", "validation", "test"):
        assert {p.text for p in getattr(splits, split)} == {i.prompt for i in PROMPTS if i.split == split}


def test_answers_to_imitate_are_of_the_training_prompts_and_of_every_kind() -> None:
    pairs = load_pairs(DataSource(source="task:everyday?tasks=advice", split="supervised"), "supervised.data", 0)
    trained_on = {i.prompt for i in PROMPTS if i.task == "advice" and i.split == "train"}
    asked = [pair.prompt.text for pair in pairs]
    assert len(set(asked)) == len(asked) > len(trained_on) * 0.75
    assert set(asked) <= trained_on
    shares = {kind: count / len(pairs) for kind, count in Counter(kind_of(pair.answer) for pair in pairs).items()}
    assert set(shares) == {"brief", "list", "prose"}
    assert min(shares.values()) > 0.1
    assert len({pair.answer for pair in pairs}) > 0.95 * len(pairs)
    all_there_are = load_pairs(DataSource(source="task:everyday", split="supervised"), "supervised.data", 0)
    assert [pair.prompt.text for pair in all_there_are] == asked


def test_some_tasks_only() -> None:
    wanted = {i.prompt for i in PROMPTS if i.task in ("advice", "ideas") and i.split == "test"}
    source = DataSource(source="task:everyday?tasks=ideas,advice", split="test")
    assert {prompt.text for prompt in load_prompts(source, "prompts.test", 0)} == wanted
    assert 0 < len(wanted) < sum(i.split == "test" for i in PROMPTS)


@pytest.mark.parametrize(
    ("source", "split", "message"),
    [
        ("task:everyday", "tests", "not a split of the task. Did you mean `test`"),
        ("task:everyday?words=4", "test", "no option `words`"),
        ("task:everyday?tasks=advice,idea", "test", "`idea` is none of advice, .*. Did you mean `ideas`"),
        ("task:everyday?tasks=", "test", "`` is none of advice"),
        ("task:everyday?advice", "test", "no option `advice`. Known: tasks"),
        ("task:everyday?tasks=advice,ideas", "supervised", "no answers to imitate for `ideas`; there are for advice"),
        ("task:everydays", "test", "not an embedded task. Did you mean `everyday`"),
    ],
)
def test_what_the_task_has_not_is_said(source: str, split: str, message: str) -> None:
    with pytest.raises(DataError, match=message.replace("?", r"\?")):
        load_prompts(DataSource(source=source, split=split), "prompts.train", 0)


LONG = " ".join(["word"] * (BRIEF_WORDS + 1)) + "."
SHORT = " ".join(["word"] * BRIEF_WORDS) + "."


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (SHORT, "brief"),
        (SHORT[:-1], "brief"),
        (f"Do it.\n\n{SHORT[: -len(' word' * 2) - 1]}", "brief"),
        (LONG, "prose"),
        (LONG[:-1], "prose"),
        (f"{SHORT} {LONG}", "prose"),
        (f"{SHORT}\n\nAnd so on", "prose"),
        ("It costs 3.50 a kilo", "brief"),
        ("", "nothing"),
        ("Two words", "nothing"),
        ("Now three words", "brief"),
        ("1. Fold", "nothing"),
        ("1. Fold shirts", "list"),
        ("Here are some:\n\n1. Fold the shirts", "list"),
        (f"{SHORT}\n- one", "list"),
        (f"{LONG}\n  * one", "list"),
        ("12) twelve of them", "list"),
        ("• a bullet", "list"),
        ("Nothing to list:\n1.", "brief"),  # an item of nothing
        ("-5 degrees outside", "brief"),
        ("1984. A year", "brief"),
        ("2.5 litres of milk", "brief"),
        ("A dash - like this - is no list.", "brief"),
    ],
)
def test_the_kind_of_an_answer(answer: str, kind: str) -> None:
    assert kind_of(answer) == kind
    assert kind_of(f"  {answer}\n") == kind
