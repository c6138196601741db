"""How long a server asks to be left alone, and bodies that nobody can read."""

from __future__ import annotations

import datetime
import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comal.judges.chat.api import RequestError, read_reply, refused, retry_after


@given(st.floats(0, 1e6))
def test_retry_after_in_seconds(seconds):
    assert retry_after({"retry-after": repr(seconds)}) == seconds


def test_retry_after_as_a_date_or_as_nonsense():
    date = email.utils.format_datetime(email.utils.localtime() + datetime.timedelta(seconds=30))
    assert retry_after({"retry-after": date}) == pytest.approx(30, abs=2)
    past = email.utils.format_datetime(email.utils.localtime() - datetime.timedelta(seconds=30))
    assert retry_after({"retry-after": past}) == 0
    assert [retry_after({"retry-after": text}) for text in ("soon", "nan", "inf", "")] == [None] * 4
    assert retry_after({}) is None


def test_a_body_nested_without_end_is_unreadable_and_no_more():
    deep = "[" * 100_000
    with pytest.raises(RequestError, match=r"^unreadable reply: "):
        read_reply(deep.encode())
    assert refused(500, {}, deep).reason == "server error (500)"
