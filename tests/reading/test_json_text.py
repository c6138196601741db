import pytest

from comal.errors import DataError
from comal.reading.json_text import parse_json, parse_json_lines


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{\n'a'", "f:2: not JSON"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ("[" * 150 + "]" * 150, "nested more than 100"),
        ("1" + "0" * 5000, "more digits than can be read"),
        ('{"prompt": "a", "prompt": "b"}', "`prompt` is there twice"),
        ('["\\ud83d"]', "half of a surrogate pair"),
    ],
)
def test_one_message_for_whatever_is_wrong(text, message):
    with pytest.raises(DataError, match=message):
        parse_json(text, "f")
    with pytest.raises(DataError, match="f:2: "):
        parse_json_lines("1\n" + text.replace("\n", " "), "f")


def test_only_line_feeds_end_a_line():
    """U+2028, U+2029 and U+0085 may stand in a JSON text as they are; Python's splitlines breaks there."""
    text = '{"a": "x\u2028y"}\n\r\n{"a": "\x85\u2029"}\r\n'
    assert parse_json_lines(text, "f") == [("f:1", {"a": "x\u2028y"}), ("f:3", {"a": "\x85\u2029"})]


def test_a_file_without_rows():
    with pytest.raises(DataError, match="no rows"):
        parse_json_lines("\n \n", "f")
