import math

import pytest

from comal.errors import ConfigError
from comal.recipes.overrides import parse_overrides


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([], {}),
        (["tau=0.1"], {"tau": 0.1}),
        (["eta=1e-3", "lr=5E-7", "n=3"], {"eta": 1e-3, "lr": 5e-7, "n": 3}),
        (["a=true", "b=null", "c=", "d=x"], {"a": True, "b": None, "c": None, "d": "x"}),
        (["e=[1, 2]", "f={g: 1}"], {"e": [1, 2], "f": {"g": 1}}),
        (["inner.name=inpo", "inner.eta=3", "update=copy"], {"inner": {"name": "inpo", "eta": 3}, "update": "copy"}),
        (["a.b.c=1", "a.b.d=2", "a.e=3"], {"a": {"b": {"c": 1, "d": 2}, "e": 3}}),
        (["a=1", "a=2"], {"a": 2}),
        (["url=http://host:1/v1?x=y"], {"url": "http://host:1/v1?x=y"}),
        (["word='1e3'"], {"word": "1e3"}),
        ([" tau =1"], {"tau": 1}),
    ],
)  # fmt: skip
def test_settings_nest(settings, expected):
    assert parse_overrides(settings) == expected


def test_infinity_is_a_number():
    assert parse_overrides(["x=inf"])["x"] == math.inf


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["tau"], "`tau` is not key=value"),
        (["=1"], "not key=value"),
        (["a..b=1"], "not key=value"),
        (["a=[1"], "cannot read the value `\\[1`"),
        (["inner=inpo", "inner.eta=3"], "write inner.name=inpo instead"),
        (["inner.eta=3", "inner=inpo"], "write inner.name=inpo instead"),
    ],
)
def test_what_cannot_be_read_is_said(settings, message):
    with pytest.raises(ConfigError, match=message):
        parse_overrides(settings)
