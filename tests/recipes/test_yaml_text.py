import math

import pytest

from comal.errors import ConfigError
from comal.recipes.overrides import parse_overrides
from comal.recipes.yaml_text import parse_yaml


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-8", 1e-8),
        ("{adam_epsilon: 1e-8, a: [5E2, -1e+3, 999e-3]}", {"adam_epsilon": 1e-8, "a": [500.0, -1000.0, 0.999]}),
        ("1.5e-3", 1.5e-3),
        (".5", 0.5),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0o17", 15),
        (".inf", math.inf),
        ("true", True),
        ("~", None),
        ("'1e-8'", "1e-8"),
        ("2024-01-01", "2024-01-01"),
        ("=", "="),
        ("1e", "1e"),
        ("v1.2.3", "v1.2.3"),
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("'no'", "no"),
        ("none", "none"),
        ("{<<: {a: 1}, b: 2}", {"a": 1, "b": 2}),
    ],
)
def test_numbers_and_words(text, expected):
    """PyYAML reads 1e-8 as a text and 2024-01-01 as a date, as YAML 1.1 has it."""
    found = parse_yaml(text, "f")
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("word", ["no", "Yes", "on", "OFF", "010", "007", "1:30", "0b11"])
def test_a_word_with_two_readings_is_refused(word):
    for text in (word, f"{{a: [{word}]}}", f"{word}: 1"):
        with pytest.raises(ConfigError, match=f"f: .*`{word}` is .*depending on the reader.*quote it"):
            parse_yaml(text, "f")
    assert parse_yaml(f"'{word}'", "f") == word


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{a: 1, a: 2}", "`a` is there twice"),
        ("a: &a [*a]", "without end"),
        ("[" * 5000, "nested too deeply"),
        ("1" * 5000, "5,000 digits"),
        ("0x_", "`0x` is no whole number"),
        ('"\\ud83d"', "half of a surrogate pair"),
        ("!!timestamp 2024-99-99", "not YAML"),
        ("!!binary aGk=", "neither text"),
        ("[1", "not YAML"),
    ],
)
def test_what_is_no_plain_value(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_yaml(text, "f")


def test_settings_are_read_alike():
    assert parse_overrides(["a={b: 1e-8}", "c=1e-8"]) == {"a": {"b": 1e-8}, "c": 1e-8}
    with pytest.raises(ConfigError, match="depending on the reader"):
        parse_overrides(["seed=010"])
    with pytest.raises(ConfigError, match="twice"):
        parse_overrides(["a={b: 1, b: 2}"])
