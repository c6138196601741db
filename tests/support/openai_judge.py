"""The `openai` judge as tests ask it, of a scripted server."""

from __future__ import annotations

from comal.errors import JudgeError
from comal.judges.base import Comparison, Records
from comal.judges.chat.ledger import Ledger
from comal.judges.openai import OpenAI
from waiting import LIMIT

KEY = "sk-proj-Abc123-very-secret-0987654321"
QUESTIONS = [Comparison(f"prompt {i}", "a" * (1 + i % 5), "b" * (1 + i % 3)) for i in range(30)]
FAST = {"model": "m", "backoff": 0.01, "timeout": LIMIT, "concurrency": 4}


def judge(server, **options):
    return OpenAI(**{"base_url": server.url} | FAST | options)


def said(asked, comparisons, records=None):
    """All that was handed over, and the error, if one came."""
    verdicts = {}
    try:
        for part in asked.compare_in_parts(comparisons, records or Records()):
            verdicts |= {v.comparison: v for v in part}
    except JudgeError as error:
        return verdicts, str(error)
    return verdicts, None


def spent(asked, path=None):
    ledger = Ledger(path, asked.fingerprint())
    try:
        return ledger.spent()
    finally:
        ledger.close()
