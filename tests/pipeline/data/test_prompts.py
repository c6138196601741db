"""Prompts from files of every kind; what is wrong with one is said at its place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from comal.errors import DataError
from comal.pipeline.data.prompts import load_pairs, load_prompts, prompts_of_step, split_prompts
from comal.policies.base import Prompt
from comal.recipes.settings import DataSource, PromptSettings

TEXTS = ["one", "two", "three, and more", 'with "quotes"\nand a line', "été"]
CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]


def jsonl(path: Path, rows: list, compress: bool = False) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if compress else text.encode())
    return path


def load(path: Path | str, **options) -> list[Prompt]:
    return load_prompts(DataSource(source=str(path), **options), "prompts.train", seed=0)


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "json", "json.gz", "csv", "parquet"])
def test_the_same_prompts_from_every_kind_of_file(tmp_path: Path, kind: str) -> None:
    rows, path = [{"prompt": t, "other": 1} for t in TEXTS], tmp_path / f"prompts.{kind}"
    if kind.startswith("jsonl"):
        jsonl(path, rows, compress=kind.endswith("gz"))
    elif kind.startswith("json"):
        text = json.dumps(rows).encode()
        path.write_bytes(gzip.compress(text) if kind.endswith("gz") else text)
    elif kind == "csv":
        Dataset.from_list(rows).to_csv(path)
    else:
        Dataset.from_list(rows).to_parquet(path)
    assert sorted(p.text for p in load(path)) == sorted(TEXTS)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_chat_messages_are_prompts(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"chat.{kind}"
    if kind == "jsonl":
        jsonl(path, [{"messages": CHAT}])
    else:
        Dataset.from_list([{"messages": CHAT}]).to_parquet(path)
    (prompt,) = load(path, prompt="messages")
    assert prompt == Prompt(tuple(CHAT))


def test_prompts_are_distinct_and_shuffled_by_the_seed(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "p.jsonl", [{"prompt": f"{i % 50}"} for i in range(100)])
    source = DataSource(source=str(path))
    orders = [[p.text for p in load_prompts(source, "", seed)] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == sorted(str(i) for i in range(50))
    assert orders[0] != [str(i) for i in range(50)]
    limited = load_prompts(DataSource(source=str(path), limit=7), "", 0)
    assert [p.text for p in limited] == orders[0][:7]


def test_a_byte_order_mark_and_blank_lines_are_no_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"prompt": "a"}\r\n\r\n{"prompt": "b"}')
    assert sorted(p.text for p in load(path)) == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"prompt": "a"}\n{"prompt": "b"\n{"prompt": "c"}\n', r"p\.jsonl:2: this line is not JSON .*at column \d+"),
        ('{"prompt": "a"}\n\n"b"\n', r"p\.jsonl:3: expected an object with `prompt`, got 'b'"),
        ('{"prompts": "a"}\n', r"p\.jsonl:1: there is no column `prompt`; set `prompt`\. Did you mean `prompts`\?"),
        ('{"prompt": "a"}\n{"prompt": ""}\n', r"p\.jsonl:2: `prompt` should be a text"),
        ('{"prompt": 3}\n', r"p\.jsonl:1: `prompt` should be a text or a list of chat messages, got 3"),
        ('{"prompt": [{"role": "assistant", "content": "x"}]}\n', r"last message should be the user's"),
        ('{"prompt": [{"content": "x"}]}\n', r"should be a text or a list of chat messages"),
        ("\n\n", r"p\.jsonl: the file has no rows"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        load(path)
    assert path.read_text() == content


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.jsonl", b'{"prompt": "\xff"}', "not UTF-8 at byte 12"),
        ("p.jsonl.gz", b"plain text", "not a gzip file"),
        ("p.json.gz", b"plain text", "not a gzip file"),
        ("p.json", b'{"prompt": "a"}', "expected a list of objects"),
        ("p.json", b'{"prompt": "a"}\n{"prompt": "b"}', r"one object a line should be named \.jsonl"),
        ("p.parquet", b"no parquet", "cannot read .* as parquet"),
        ("p.txt", b"a", "is not a data file; known endings: .jsonl"),
    ],
)
def test_files_that_are_not_what_they_are_called(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(tmp_path / name)


def test_a_missing_file_has_a_near_match(tmp_path: Path) -> None:
    jsonl(tmp_path / "prompts.jsonl", [{"prompt": "a"}])
    with pytest.raises(DataError, match=r"prompts\.train: there is no file .*Did you mean `prompts\.jsonl`\?"):
        load(tmp_path / "prompt.jsonl")
    with pytest.raises(DataError, match="there is no file"):
        load(tmp_path / "nowhere" / "prompt.jsonl")


def test_an_unknown_task_and_split_have_near_matches() -> None:
    with pytest.raises(DataError, match=r"`docstring` is not an embedded task. Did you mean `docstrings`"):
        load("task:docstring")
    with pytest.raises(DataError, match=r"`tests` is not a split of the task. Did you mean `test`"):
        load("task:docstrings", split="tests")


def test_the_embedded_task_gives_longer_answers_to_the_same_functions() -> None:
    short, longer, same = (
        load_pairs(DataSource(source=source, split="supervised"), "supervised.data", 0)
        for source in ("task:docstrings", "task:docstrings?words=16", "task:docstrings?words=4")
    )
    assert same == short, "four words are the default"
    lengths = [[len(pair.answer.removesuffix(" ...").split()) for pair in pairs] for pairs in (short, longer)]
    assert [max(found) for found in lengths] == [4, 16]
    whole = {pair.prompt.id: pair.answer for pair in longer}
    cut = [pair for pair in short if pair.answer.endswith(" ...") and pair.prompt.id in whole]
    assert len(cut) > 1000
    # Of a few functions that look the same when cut, another one's docstring may come first.
    continued = [whole[pair.prompt.id].startswith(pair.answer.removesuffix(" ...")) for pair in cut]
    assert sum(continued) > 0.98 * len(cut)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("words=many", "words: need the longest answer's number of words, 1 or more, got `many`"),
        ("words=0", "words: need"),
        ("words=", "words: need"),
        ("word=3", "the task has no option `word`. Did you mean `words`"),
    ],
)
def test_an_option_of_the_embedded_task_that_cannot_be(options: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(f"task:docstrings?{options}", split="test")


def test_pairs_need_an_answer(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "p.jsonl", [{"prompt": "a", "answer": "b"}])
    (pair,) = load_pairs(DataSource(source=str(path)), "supervised.data", 0)
    assert (pair.prompt.text, pair.answer) == ("a", "b")
    jsonl(path, [{"prompt": "a", "answers": "b"}])
    with pytest.raises(DataError, match=r"there is no column `answer`; set `answer`. Did you mean `answers`"):
        load_pairs(DataSource(source=str(path)), "supervised.data", 0)


def prompts(folder: Path, name: str, numbers: range) -> DataSource:
    return DataSource(source=str(jsonl(folder / f"{name}.jsonl", [{"prompt": str(i)} for i in numbers])))


def test_held_out_prompts_are_taken_from_train_when_not_given(tmp_path: Path) -> None:
    splits = split_prompts(PromptSettings(train=prompts(tmp_path, "train", range(100)), held_out=10), seed=0)
    sizes = [len(part) for part in (splits.train, splits.validation, splits.test)]
    assert sizes == [80, 10, 10]
    assert len({p.id for part in (splits.train, splits.validation, splits.test) for p in part}) == 100


def test_what_is_held_out_is_in_no_other_split(tmp_path: Path) -> None:
    settings = PromptSettings(
        train=prompts(tmp_path, "train", range(20)),
        validation=prompts(tmp_path, "validation", range(15, 30)),
        test=prompts(tmp_path, "test", range(10, 20)),
    )
    splits = split_prompts(settings, seed=0)
    assert {p.text for p in splits.test} == set(map(str, range(10, 20)))
    assert {p.text for p in splits.validation} == set(map(str, range(20, 30)))
    assert {p.text for p in splits.train} == set(map(str, range(10)))


@pytest.mark.parametrize("count", [20, 12])
def test_too_few_prompts_to_hold_out_are_refused(tmp_path: Path, count: int) -> None:
    """Of 20 prompts, 10 and 10 held out leave none to train on; of 12 they leave 2 for validation and again none."""
    with pytest.raises(DataError, match=r"no prompts are left for train; .*lower prompts.held_out"):
        split_prompts(PromptSettings(train=prompts(tmp_path, "train", range(count)), held_out=10), seed=0)


def test_one_held_out_prompt_is_too_few_for_an_interval(tmp_path: Path) -> None:
    settings = PromptSettings(
        train=prompts(tmp_path, "train", range(20)), test=prompts(tmp_path, "test", range(90, 91))
    )
    with pytest.raises(DataError, match=r"prompts\.test: .*two"):
        split_prompts(settings.model_copy(update={"held_out": 4}), seed=0)


def test_steps_take_fresh_prompts_until_all_were_used() -> None:
    population = [Prompt.of_text(str(i)) for i in range(10)]
    taken = [p for step in range(5) for p in prompts_of_step(population, step, 4, seed=0)]
    assert len({p.id for p in taken[:10]}) == 10
    assert len({p.id for p in taken[10:]}) == 10
    assert taken[:10] != taken[10:], "a new shuffle"
    assert prompts_of_step(population, 3, 4, seed=0) == taken[12:16], "a step's prompts depend on nothing but the step"
    assert prompts_of_step(population, 0, 4, seed=1) != taken[:4]
    assert len(prompts_of_step(population, 0, 25, seed=0)) == 25


def test_an_alpaca_rows_input_is_a_part_of_its_prompt(tmp_path: Path) -> None:
    rows = [{"instruction": "Translate.", "input": x, "output": x.upper()} for x in ("the cat", "it rained", "")]
    path = jsonl(tmp_path / "alpaca.jsonl", rows)
    expected = ["Translate.", "Translate.\n\nit rained", "Translate.\n\nthe cat"]
    assert sorted(p.text for p in load(path, prompt="instruction")) == expected
    path = jsonl(tmp_path / "whole.jsonl", rows[:2])
    pairs = load_pairs(DataSource(source=str(path), prompt="instruction", answer="output"), "", 0)
    assert sorted((p.prompt.text, p.answer) for p in pairs) == [
        ("Translate.\n\nit rained", "IT RAINED"),
        ("Translate.\n\nthe cat", "THE CAT"),
    ]


def test_words_and_numbers_of_a_csv_are_texts(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("prompt,answer\nq,None\n007,NA\n1e3,null\n0.50,False\n", encoding="utf-8")
    pairs = load_pairs(DataSource(source=str(tmp_path / "p.csv")), "", 0)
    assert sorted((p.prompt.text, p.answer) for p in pairs) == [
        ("0.50", "False"), ("007", "NA"), ("1e3", "null"), ("q", "None"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["P.JSONL", "p.Csv"])
def test_the_case_of_an_ending_does_not_matter(tmp_path: Path, name: str) -> None:
    text = '{"prompt": "a"}\n' if name == "P.JSONL" else "prompt\na\n"
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert [p.text for p in load(tmp_path / name)] == ["a"]


USER = {"role": "user", "content": "And in Oslo?"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": [{"role": "assistant", "content": "", "tool_calls": [{"id": 1}]}, USER]}, "`tool_calls`"),
        ({"prompt": [{"role": "assistant", "content": "4", "reasoning_content": "2+2"}, USER]}, "`reasoning_content`"),
        ({"prompt": [{"role": "user", "content": [{"type": "image"}]}]}, "is no text"),
        ({"prompt": [USER], "tools": [{"name": "weather"}]}, "`tools` is a part of the question"),
        ({"prompt": [USER], "input": "x"}, "`input` stands beside chat messages"),
        ({"prompt": [{"role": "user", "content": " "}]}, "is empty"),
        ({"prompt": json.dumps([USER])}, "written as a text"),
        ({"prompt": "half \ud83d"}, r"p\.jsonl:1: .*surrogate"),
    ],
)
def test_what_would_be_dropped_from_a_prompt_is_refused(tmp_path: Path, row: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(jsonl(tmp_path / "p.jsonl", [row]))


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_text_parts_and_null_fields_are_read(tmp_path: Path, kind: str) -> None:
    parts = [{"type": "text", "text": "Hel", "image": None}, {"type": "text", "text": "lo", "image": None}]
    rows = [{"prompt": [{"role": "user", "content": parts, "tool_calls": None}]}]
    path = tmp_path / f"p.{kind}"
    if kind == "jsonl":
        jsonl(path, rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    assert [p.text for p in load(path)] == ["Hello"]


def test_a_pointer_is_no_data(tmp_path: Path) -> None:
    for name in ("p.jsonl", "p.json", "p.csv", "p.parquet"):
        (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", encoding="utf-8")
        with pytest.raises(DataError, match="Git LFS pointer"):
            load(tmp_path / name)
