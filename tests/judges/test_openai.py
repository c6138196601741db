"""The settings of the `openai` judge, and what its verdicts belong to."""

from __future__ import annotations

import dataclasses
import json

import pytest

from comal.errors import ConfigError, JudgeError
from comal.judges.asking.oracle import Oracle
from comal.judges.openai import OpenAI
from comal.plugins import JUDGES
from openai_judge import FAST, QUESTIONS
from scripted_server import log_probs, serving

pytestmark = pytest.mark.usefixtures("nothing_known_nor_spent")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"base_url": "localhost:8000"}, "base_url: need an address"),
        ({"model": ""}, "model: need the name"),
        ({"labels": ["A", "A"]}, "labels: need two different words"),
        ({"labels": ["A", "[B]"]}, "labels: need two different words"),
        ({"min_label_mass": 1.5}, "min_label_mass"),
        ({"samples": 0}, "samples: need at least 1"),
        ({"concurrency": 0}, "concurrency: need at least 1"),
        ({"retries": -1}, "retries: need at least 0"),
        ({"timeout": 0}, "timeout: need a positive number"),
        ({"max_cost": 5}, "max_cost: needs input_price and output_price"),
        ({"max_calls": -1}, "max_calls: need a number from 0"),
        ({"extra_body": {"n": 3}}, "extra_body: n is set by this judge"),
        ({"verdict": "guess"}, "verdict"),
        ({"max_call": 5}, "Did you mean `max_calls`"),
    ],
)
def test_settings_that_cannot_be_used_are_named(options, told):
    with pytest.raises(ConfigError) as caught:
        JUDGES.build({"name": "openai", "model": "m"} | options, "judge")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"template": "helpfull"}, "Did you mean `helpful`"),
        ({"template": "{{ prompt }} {{ first }}"}, "does not show {{ second }}"),
        ({"template": "{{ prompt }} {{ first }} {{ second }} {{ third }}"}, "it can use prompt"),
        ({"template": "reasoned", "verdict": "logprobs"}, "use samples or auto"),
    ],
)
def test_templates_that_cannot_be_used_are_found_before_anything_is_asked(options, told):
    with pytest.raises(JudgeError) as caught:
        OpenAI("m", **options).check()
    assert told in str(caught.value)


def test_what_changes_no_verdict_is_not_in_the_fingerprint():
    base = OpenAI("m", "http://a/v1")
    for change in (
        {"concurrency": 1}, {"timeout": 1.0}, {"retries": 0}, {"backoff": 2.0}, {"longest_wait": 9.0}, {"max_calls": 3},
        {"max_total_tokens": 3}, {"input_price": 1.0}, {"output_price": 1.0}, {"api_key_env": "OTHER_KEY"},
    ):  # fmt: skip
        assert dataclasses.replace(base, **change).fingerprint() == base.fingerprint(), change
    for change in (
        {"model": "n"}, {"base_url": "http://b/v1"}, {"service": "s"}, {"verdict": "samples"}, {"samples": 2},
        {"template": "careful"}, {"system_prompt": "x"}, {"labels": ("1", "2")}, {"temperature": 0.0}, {"seed": 1},
        {"min_label_mass": 0.1}, {"reply_tokens": 2}, {"extra_body": {"a": 1}},
    ):  # fmt: skip
        assert dataclasses.replace(base, **change).fingerprint() != base.fingerprint(), change
    named = [OpenAI("m", f"http://{host}/v1", service="ours") for host in "ab"]
    assert named[0].fingerprint() == named[1].fingerprint()


def test_a_committee_keeps_its_metered_members_verdicts(tmp_path):
    """A member that was paid for is not asked again when another one failed."""
    with serving(log_probs) as server:
        member = {"name": "openai", "base_url": server.url, **FAST}
        broken = {"name": "python", "function": "judge_functions:broken"}
        questions = QUESTIONS[:5]
        with pytest.raises(JudgeError, match="no idea"):
            Oracle(
                JUDGES.build({"name": "committee", "members": [member, broken]}, "j"), tmp_path / "v"
            ).win_probabilities(questions)
        paid = len(server.requests)
        assert paid > 5
        longer = {"name": "python", "function": "judge_functions:longer"}
        committee = JUDGES.build({"name": "committee", "members": [member, longer]}, "j")
        Oracle(committee, tmp_path / "v").win_probabilities(questions)
        assert len(server.requests) == paid
        assert committee.spend_bound(10, 10, 1) == committee.members[0].spend_bound(10, 10, 1)
        assert "concurrency" not in json.dumps(committee.essentials())
