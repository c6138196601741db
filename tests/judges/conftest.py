"""Fixtures of the judges' tests."""

import pytest

from comal.judges.chat import ledger as budget
from comal.judges.chat import verdict as chat_verdict
from openai_judge import KEY


@pytest.fixture
def nothing_known_nor_spent(monkeypatch):
    """A key in the environment, and a process that knows no server and has spent nothing."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    chat_verdict._FOUND.clear()
    budget._OF_THIS_PROCESS.clear()
