"""A service's key: from the environment into the header, and nowhere else."""

from __future__ import annotations

import dataclasses
import json
import logging
import traceback

import pytest

from comal.errors import ConfigError, JudgeError
from comal.judges.asking.oracle import Oracle
from comal.judges.openai import OpenAI
from comal.plugins import JUDGES
from openai_judge import KEY, QUESTIONS, judge
from scripted_server import Send, log_probs, serving

pytestmark = pytest.mark.usefixtures("nothing_known_nor_spent")


def test_the_key_is_nowhere_but_in_the_header(tmp_path, caplog, capsys):
    """Everything that can be written down, with every level of every logger, whatever the server says back."""

    def script(number, body):
        if number % 3 == 0:
            return Send({"error": {"message": f"no access for {KEY} (Bearer {KEY})"}}, 500)
        return log_probs(number, body)

    written = []
    with caplog.at_level(logging.DEBUG), serving(script) as server:
        asked = judge(server, retries=3, max_calls=25)
        for attempt in (
            (script, 25, "max_calls"),
            (lambda *_: Send({"detail": KEY}, 401), 100, "refused"),
        ):
            server.script, limit, told = attempt
            oracle = Oracle(dataclasses.replace(asked, max_calls=limit), tmp_path / "v.sqlite")
            with pytest.raises(JudgeError, match=told) as caught:
                oracle.win_probabilities(QUESTIONS)
            error = caught.value
            while error is not None:
                written += [repr(error), str(error), *map(repr, vars(error).values())]
                error = error.__cause__ or error.__context__
            written += traceback.TracebackException.from_exception(caught.value, capture_locals=False).format()
    written += [repr(asked), json.dumps(asked.identity()), asked.fingerprint(), caplog.text, str(capsys.readouterr())]
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) >= 2
    written += [p.read_bytes().decode("latin-1") for p in files]
    assert all(KEY not in text and "very-secret" not in text for text in written)
    assert set(server.authorizations) == {f"Bearer {KEY}"}


def test_a_key_in_the_settings_is_refused_without_being_repeated(monkeypatch):
    for options in (
        {"api_key_env": KEY},
        {"api_key_env": "abcdef0123456789abcdef0123456789"},
        {"api_key": KEY},
        {"base_url": f"https://user:{KEY}@host/v1"},
        {"base_url": f"https://host/v1?key={KEY}"},
        {"extra_body": {"api_key": KEY}},
        {"system_prompt": f"use {KEY}"},
        {"model": KEY},
    ):
        with pytest.raises(ConfigError) as caught:
            JUDGES.build({"name": "openai", "model": "m"} | options, "judge")
        assert KEY not in str(caught.value)
        assert "abcdef0123" not in str(caught.value)
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-of-no-known-form-0123")
    with pytest.raises(JudgeError, match="OPENAI_API_KEY is written in the settings"):
        OpenAI("m", system_prompt="a-key-of-no-known-form-0123").check()


def test_openai_itself_wants_a_key_and_other_servers_may_not(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("OPENAI_APIKEY_KEY", "x")
    with pytest.raises(JudgeError, match="OPENAI_API_KEY is not set"):
        OpenAI("gpt").check()
    with serving(log_probs) as server:
        judge(server).compare(QUESTIONS[:1])
        assert server.authorizations == [None]
        monkeypatch.setenv("MY_TOKEN", "token")
        judge(server, api_key_env="MY_TOKEN").compare(QUESTIONS[:1])
        assert server.authorizations[1] == "Bearer token"
    for wrong in ("two words", "line\nbreak", "naïve"):
        monkeypatch.setenv("MY_TOKEN", wrong)
        with pytest.raises(JudgeError, match="cannot be a key") as caught:
            judge(server, api_key_env="MY_TOKEN").check()
        assert wrong not in str(caught.value)
