import csv

import pytest

from comal.errors import DataError
from comal.reading.csv_text import csv_table


def test_every_cell_is_the_text_that_stands_there():
    """pandas makes None of None, NA and null, 7 of 007, 1000.0 of 1e3, False of False."""
    words = ["None", "NA", "null", "nan", "007", "1e3", "2.50", "False", " x ", "2024-01-01", "a\0b", ""]
    table = csv_table("prompt,answer\n" + "".join(f"q{n},{word}\n" for n, word in enumerate(words)), "f")
    assert [row["answer"] for _, row in table] == words
    assert table[2] == ("f:4", {"prompt": "q2", "answer": "null"})


def test_quotes_long_fields_and_columns_without_a_name():
    long = "x" * 200_000
    limit = csv.field_size_limit()
    (_, row), *_ = csv_table(f',prompt,answer\r\n0,"say ""hi"",\nyou",{long}\r\n', "f")
    assert row == {"prompt": 'say "hi",\nyou', "answer": long}
    assert csv.field_size_limit() == limit


def test_a_space_before_a_quote_within_a_quoted_cell_is_a_part_of_the_text():
    table = csv_table('prompt,answer\n"q"," ""ok"" is said"\nq, 5" nails\n', "f")
    assert [row["answer"] for _, row in table] == [' "ok" is said', ' 5" nails']


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt,answer\nq,ok,\n", "f:2: 3 fields where the header has 2"),
        ("prompt,answer\nq,ok\nq\n", "f:3: 1 field where the header has 2"),
        ("prompt,answer\nWhy, oh why?,ok\n", "3 fields"),
        ("prompt;answer\nq;ok\n", "separated by semicolons"),
        ("prompt\tanswer\nq\tok\n", "separated by tabs"),
        ("prompt,prompt\nq,ok\n", "two columns are named `prompt`"),
        ('prompt,answer\n"q,ok\nq,ok\n', "not CSV"),
        ('prompt,answer\n"q"x,ok\n', "f:2: not CSV"),
        ('prompt,answer\n"q", "ok"\n', "f:2: a space before the quote"),
        ('prompt,answer\n"q", "o, k"\n', "f:2: a space before the quote"),
        ('prompt,answer\nq,ok\n"q", "o\nk"\n', "f:3: a space before the quote"),
        ("prompt,answer\n", "no rows below"),
        ("", "no rows"),
    ],
)
def test_columns_that_would_shift_or_vanish(text, message):
    with pytest.raises(DataError, match=message):
        csv_table(text, "f")
