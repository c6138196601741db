"""Rewards as trainers call them: by the real package where it is installed, by its recorded signature elsewhere."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from comal.errors import ConfigError, DataError, JudgeError
from comal.rewards import GroupWinRate, slime
from comal.rewards import sharing as opened
from comal.rewards import trl as of_trl
from comal.rewards.texts import answer_text, prompt_text
from comal.rewards.trl import TRLWinRate
from comal.rewards.verifiers import group_reward
from group_judges import CYCLE, Table
from reward_client import reward_server
from waiting import LIMIT

RATES = [0.45, 0.45, 0.6]


@pytest.fixture(autouse=True)
def _closed_in_the_end():
    yield
    opened._opened.close()


def chat(text: str, role: str = "assistant") -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("x", "x"),
        (chat("x", "user"), "x"),
        ([{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]}], "xy"),
        ([*chat("s", "system"), *chat("x", "user")], "System: s\n\nUser: x"),
        ([{"role": "assistant", "content": None, "tool_calls": []}, *chat("x")], "Assistant: \n\nAssistant: x"),
    ],
)
def test_prompts_and_answers_are_read_as_judges_are_shown_them(written, text):
    assert prompt_text(written) == answer_text(written) == text


@pytest.mark.parametrize("written", [[], {}, [3], [{"role": "user"}], [{"role": "user", "content": [{"image": 1}]}], 7])
def test_what_is_neither_text_nor_messages_is_refused(written):
    written = [{"content": "x"}] if written == [{"role": "user"}] else written
    with pytest.raises(DataError, match=r"^prompt"):
        prompt_text(written)


def test_trl_gets_the_win_rates_of_each_group_and_the_judges_figures():
    logged = {}
    reward = TRLWinRate(GroupWinRate(Table(CYCLE, silent=("mute",))), num_generations=3)
    found = reward(
        prompts=["x"] * 3 + [chat("y", "user")] * 3,
        completions=["a", "b", "c", chat("a"), chat("mute"), chat("b")],
        completion_ids=[[1]] * 6, trainer_state=None, log_extra=print, log_metric=logged.__setitem__, other=[0] * 6,
    )  # fmt: skip
    assert found == [*map(pytest.approx, RATES), None, None, None]
    assert logged["judge/masked"] == 0.5
    assert (logged["judge/questions"], logged["judge/calls"]) == (6, 12)
    assert logged["judge/failure_rate"] == pytest.approx(2 / 6)
    assert reward.__name__ == "win_rate"


@pytest.mark.parametrize("prompts", [["x", "x", "y", "y"], ["x"] * 4])
def test_trl_groups_of_another_size_are_refused(prompts):
    with pytest.raises(ConfigError, match="groups of 3 to one prompt"):
        TRLWinRate(GroupWinRate(Table(CYCLE)), 3)(prompts, ["a"] * 4)
    with pytest.raises(ConfigError, match="need 2 or more"):
        TRLWinRate(GroupWinRate(Table(CYCLE)), 1)


def in_processes(monkeypatch, parts, reward):
    """What each of several processes is given for its part; threads that gather as processes do."""
    barrier, slots, rank = threading.Barrier(len(parts)), {}, threading.local()

    def gathered(mine):
        barrier.wait(LIMIT)
        slots[rank.number] = mine
        barrier.wait(LIMIT)
        return rank.number, [slots[n] for n in range(len(parts))]

    monkeypatch.setattr(of_trl, "_gathered", gathered)
    found: dict[int, Any] = {}

    def process(number):
        rank.number = number
        try:
            found[number] = reward(*parts[number])
        except (ConfigError, JudgeError) as error:
            found[number] = error

    threads = [threading.Thread(target=process, args=(n,)) for n in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    return [found[n] for n in range(len(parts))]


def test_trl_groups_split_over_processes_are_put_together(monkeypatch):
    """Two groups of three over three processes of two answers each."""
    reward = TRLWinRate(GroupWinRate(Table(CYCLE)), 3)
    parts = [(["x", "x"], ["a", "b"]), (["x", "y"], ["c", "c"]), (["y", "y"], ["b", "a"])]
    found = in_processes(monkeypatch, parts, reward)
    assert [rate for part in found for rate in part] == pytest.approx([0.45, 0.45, 0.6, 0.6, 0.45, 0.45])


def test_a_judge_that_fails_in_one_trl_process_ends_all(monkeypatch):
    reward = TRLWinRate(GroupWinRate(Table(CYCLE, silent=("mute",)), on_failure="raise"), 2)
    parts = [(["x", "x"], ["a", "b"]), (["y", "y"], ["a", "mute"])]
    found = in_processes(monkeypatch, parts, reward)
    assert all(isinstance(part, JudgeError) for part in found)


def test_verifiers_rubrics_take_a_group_reward():
    """As `vf.Rubric` of verifiers 0.1.14 calls it: by parameters' names, awaited, one number a rollout."""
    states: list[dict[str, Any]] = [{}, {}, {}]
    function = group_reward(GroupWinRate(Table(CYCLE, silent=("mute",))))
    prompts = [chat("x", "user")] * 3
    found = asyncio.run(function(prompts=prompts, completions=[chat(t) for t in "abc"], states=states))
    assert found == pytest.approx(RATES)
    assert not any(state["win_rate_masked"] for state in states)
    masked = asyncio.run(function(prompts, [chat("a"), chat("mute"), chat("b")], states))
    assert masked == [0.5] * 3
    assert all(state["win_rate_masked"] for state in states)
    assert function.__name__ == "win_rate"


@dataclass
class Sample:
    """The fields of slime's `Sample`, at commit 701749b, that a reward may look at."""

    prompt: str | list[dict[str, str]] = ""
    response: str = ""
    label: str | None = None
    reward: float | dict[str, Any] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    remove_sample: bool = False


def test_slime_gets_a_number_for_each_sample_and_masked_ones_are_taken_out(monkeypatch, tmp_path):
    (tmp_path / "beside_the_judge.py").write_text(
        "TABLE = {'ab': 0.8, 'ba': 0.2, 'bc': 0.7, 'cb': 0.3, 'ca': 0.9, 'ac': 0.1}\n"
        "def prefer(prompt, first, second):\n    return TABLE.get(first + second)\n"
    )
    (tmp_path / "judge.yaml").write_text('name: python\nfunction: "beside_the_judge:prefer"\n')
    monkeypatch.setenv("COMAL_JUDGE", str(tmp_path / "judge.yaml"))
    slime._reward.cache_clear()
    samples = [Sample("x", text) for text in "abc"]
    assert asyncio.run(slime.win_rate(None, samples)) == pytest.approx(RATES)
    assert not any(sample.remove_sample for sample in samples)
    samples = [Sample(chat("x", "user"), text) for text in ("a", "?", "c")]
    found = asyncio.run(slime.win_rate(None, samples))
    assert found == [0.5] * 3
    assert all(sample.remove_sample and sample.metadata["win_rate_masked"] for sample in samples)
    with pytest.raises(ConfigError, match="--group-rm"):
        asyncio.run(slime.win_rate(None, samples[0]))


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, "COMAL_JUDGE: the environment names no judge"),
        ({"COMAL_JUDGE": "rules", "COMAL_COMPARISONS": "few"}, "COMAL_COMPARISONS: need `all`"),
        ({"COMAL_JUDGE": "rules", "COMAL_COMPARISONS": "0"}, "COMAL_COMPARISONS: need `all`"),
    ],
)
def test_slimes_environment_is_checked(variables, told, monkeypatch):
    for name in ("COMAL_JUDGE", "COMAL_COMPARISONS", "COMAL_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    slime._reward.cache_clear()
    with pytest.raises(ConfigError, match=told):
        asyncio.run(slime.win_rate(None, [Sample("x", "a"), Sample("x", "b")]))


def gym(text: str) -> dict[str, Any]:
    """A Responses API object, with what a reasoning model says first."""
    said = {"type": "message", "id": "m", "content": [{"type": "output_text", "text": text, "annotations": []}]}
    return {"id": "r", "object": "response", "output": [{"type": "reasoning", "summary": []}, said]}


def test_nemo_gyms_compare_gets_win_rates_or_a_failed_request():
    question = {"conversation_history": chat("x", "user"), "response_objs": [gym(t) for t in "abc"]}
    with reward_server(GroupWinRate(Table(CYCLE, silent=("mute",)))) as (client, _):
        status, said = client.post("/compare", question)
        assert (status, said["rewards"]) == (200, pytest.approx(RATES))
        assert set(said) == {"rewards", "comparison_results", "metrics"}
        status, said = client.post("/compare", question | {"response_objs": [gym("a"), gym("mute")]})
        assert (status, said["error"]["problem"]) == (503, "no verdict on some answer (not said: 2)")
        assert client.post("/compare", question | {"principle": "be brief"})[0] == 422
        assert client.post("/compare", question | {"response_objs": [gym("a")]})[0] == 422
