import pytest

from comal.errors import DataError
from comal.reading.questions import message_text, require_whole, with_input


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [
        ({"instruction": "Translate.", "input": "the cat"}, "instruction", "Translate.\n\nthe cat"),
        ({"instruction": "Name a prime.", "input": ""}, "instruction", "Name a prime."),
        ({"instruction": "Name a prime.", "input": " "}, "instruction", "Name a prime."),
        ({"instruction": "Name a prime.", "input": None}, "instruction", "Name a prime."),
        ({"instruction": "Name a prime."}, "instruction", "Name a prime."),
        ({"prompt": "Translate.", "input": "the cat"}, "prompt", "Translate.\n\nthe cat"),
        ({"prompt": "Whole.", "instruction": "Who", "input": "le."}, "prompt", "Whole."),
        ({"input": "the cat"}, "input", "the cat"),
        ({"Instruction": "Translate.", "Input": "the cat"}, "Instruction", "Translate.\n\nthe cat"),
        ({"question": "Translate.", "INPUT": "the cat"}, "question", "Translate.\n\nthe cat"),
    ],
)
def test_an_input_belongs_to_its_instruction(row, column, expected):
    assert with_input(row, column, "f") == expected


def test_an_input_that_is_no_text():
    with pytest.raises(DataError, match="`input` should be a text"):
        with_input({"instruction": "x", "input": ["y"]}, "instruction", "f")


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"prompt": "x", "tools": [{"name": "weather"}]}, "prompt"),
        ({"prompt": "x", "images": ["a.png"]}, "prompt"),
        ({"instruction": "x", "system": "Be brief"}, "instruction"),
        ({"instruction": "x", "history": [["a", "b"]]}, "instruction"),
        ({"system": "Be brief", "question": "x"}, "question"),
        ({"system_prompt": "Be brief", "question": "x"}, "question"),
        ({"System": "Be brief", "input": "x"}, "input"),
        ({"prompt": "x", "system": "Be brief"}, "prompt"),
        ({"prompt": "And then?", "history": [["a", "b"]]}, "prompt"),
        ({"instruction": "Summarise.", "context": "The cat sat."}, "instruction"),
        ({"question": "Where?", "context": "In Rome."}, "question"),
        ({"instruction": "Translate.", "inputs": "cat"}, "instruction"),
    ],
)
def test_parts_beside_the_prompt_are_refused(row, column):
    with pytest.raises(DataError, match="part of the question"):
        require_whole(row, column, "f")


def test_parts_that_are_empty_are_none():
    require_whole({"prompt": "x", "tools": [], "images": None, "system": ""}, "prompt", "f")
    require_whole({"history": "x", "system": None}, "history", "f")
    require_whole({"prompt": "The cat sat. Where?", "context": "The cat sat."}, "prompt", "f")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"content": "Hi", "tool_calls": None, "name": None}, "Hi"),
        ({"content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo", "image_url": None}]}, "Hello"),
    ],
)
def test_text_parts_are_one_text(message, expected):
    assert message_text({"role": "user", **message}, "f") == expected


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"content": "", "tool_calls": [{"function": {"name": "weather"}}]}, "`tool_calls` of a message would be drop"),
        ({"content": "4", "reasoning_content": "two and two"}, "`reasoning_content`"),
        ({"content": "21 C", "name": "weather"}, "`name`"),
        ({"content": None}, "should be a text"),
        ({"content": []}, "should be a text"),
        ({}, "should be a text"),
        ({"content": [{"type": "image_url", "image_url": {"url": "x"}}]}, "is no text"),
        ({"content": [{"type": "thinking", "text": "hm"}]}, "is no text"),
        (
            {"content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]},
            "`cache_control` of a pa",
        ),
        ({"content": [{"type": "text", "text": None}]}, "should have a `text`"),
        ({"content": ["Hello"]}, "is no text"),
    ],
)
def test_parts_that_would_be_dropped(message, said):
    with pytest.raises(DataError, match=said):
        message_text({"role": "assistant", **message}, "f")
