"""Win rates of groups: the right means, both orders, no number for a failure, nothing paid for twice."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from comal.errors import ConfigError, DataError, JudgeError
from comal.judges.asking.sharing import StoppedError
from comal.judges.openai import OpenAI
from comal.rewards import GroupWinRate
from comal.rewards import sharing as opened
from group_judges import CYCLE, GATE, Met, Table
from paid_judge import Paid
from scripted_server import Send, completion, log_probs, serving
from waiting import LIMIT, wait_until


@pytest.fixture(autouse=True)
def _closed_in_the_end(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    GATE.clear()
    yield
    GATE.set()
    opened._opened.close()


def bill_of(path: Path) -> Counter:
    return Counter(path.read_text().splitlines()) if path.is_file() else Counter()


def test_a_win_rate_is_the_mean_over_the_others_of_both_orders():
    """a: (0.8 + 0.1)/2, b: (0.2 + 0.7)/2, c: (0.9 + 0.3)/2; the favour for the first cancels."""
    reward = GroupWinRate(Table(CYCLE, bias=0.05))
    group = reward.group("x", ["a", "b", "c"])
    np.testing.assert_allclose(group.win_rates, [0.45, 0.45, 0.6])
    assert sum(group.win_rates) == pytest.approx(1.5), "a group's mean is 1/2 whatever the verdicts"
    assert (group.counts.questions, group.counts.judge_calls, group.counts.both_orders) == (3, 6, 3)
    assert group.counts.position_bias == pytest.approx(0.05)


def test_equal_answers_are_an_even_bet_that_nobody_is_asked_about():
    group = GroupWinRate(Table(CYCLE)).group("x", ["a", "a", "b"])
    np.testing.assert_allclose(group.win_rates, [0.65, 0.65, 0.2])
    assert group.counts.questions == 1


def test_against_opponents():
    np.testing.assert_allclose(GroupWinRate(Table(CYCLE)).group("x", ["a", "b"], ["c"]).win_rates, [0.1, 0.7])


def test_a_design_is_unbiased_over_its_draws_and_asks_no_more_than_it_may():
    names = [f"n{i}" for i in range(8)]
    rng = np.random.default_rng(0)
    rows = tuple((a, b, float(rng.uniform())) for i, a in enumerate(names) for b in names[i + 1 :])
    judge = Table(rows)
    whole = GroupWinRate(judge).group("x", names).win_rates
    drawn = [GroupWinRate(judge, comparisons=3, seed=seed).group("x", names) for seed in range(400)]
    assert {group.counts.questions for group in drawn} == {12}
    rates = np.array([group.win_rates for group in drawn])
    error = np.abs(rates.mean(axis=0) - whole)
    assert (error < 4 * rates.std(axis=0) / 20).all()
    assert GroupWinRate(judge, comparisons=3, seed=1).group("x", names).win_rates == drawn[1].win_rates


def test_groups_asked_together_get_what_each_gets_alone_where_all_pairs_are_asked():
    reward = GroupWinRate(Table(CYCLE))
    together = reward.groups(["x", "y"], [["a", "b", "c"], ["b", "c"]])
    alone = [reward.group("x", ["a", "b", "c"]), reward.group("y", ["b", "c"])]
    assert [g.win_rates for g in together] == [g.win_rates for g in alone]
    assert together[0].counts.questions == 4


def test_no_verdict_is_no_number():
    judge = Table(CYCLE, silent=("c",))
    reward = GroupWinRate(judge)
    assert reward("x", ["a", "b", "c"]) == [None, None, None], "c met nobody"
    assert reward.group("x", ["a", "b", "c"]).reasons == {"not said": 4}
    others = reward.groups(["x", "y"], [["a", "c"], ["a", "b"]])
    assert others[0].masked
    np.testing.assert_allclose(others[1].win_rates, [0.8, 0.2])
    assert reward.group("x", ["a"], ["c"]).win_rates == (None,)
    with pytest.raises(JudgeError, match="no verdict on 2 of 3 questions"):
        GroupWinRate(judge, on_failure="raise")("x", ["a", "b", "c"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"comparisons": 0}, "comparisons: need `all` or a number from 1, got 0"),
        ({"comparisons": True}, "comparisons: need"),
        ({"comparisons": "al"}, "comparisons: need"),
        ({"on_failure": "zero"}, "on_failure: need mask or raise"),
        ({"budget": {"max_cots": 1}}, "`max_cots` is no limit. Did you mean `max_cost`"),
        ({"budget": {"max_calls": 1}}, "is not metered"),
        ({"judge": "rulez"}, "Did you mean `rules`"),
        ({"judge": "nowhere.yaml"}, "there is no file `nowhere.yaml`"),
        ({"judge": {"name": "rules", "rles": []}}, "has no such option"),
    ],
)
def test_settings_that_do_not_fit_are_named(options, told):
    with pytest.raises(ConfigError, match=told):
        GroupWinRate(**{"judge": Table(CYCLE)} | options)


def test_a_budget_is_counted_in_a_file(tmp_path):
    judge = OpenAI("m", max_calls=3)
    with pytest.raises(ConfigError, match=r"spend: max_calls holds for all processes"):
        GroupWinRate(judge)
    GroupWinRate(judge, cache=tmp_path / "v.sqlite")
    named = GroupWinRate(OpenAI("m"), cache=None, budget={"max_calls": 7}, spend=tmp_path / "s.sqlite")
    assert named.judge.max_calls == 7


@pytest.mark.parametrize(
    ("comparisons", "answers", "opponents", "told"),
    [
        ("all", ["a"], None, "2 answers or more"),
        ("all", [], ["a"], "there are none"),
        ("all", ["a"], [], "opponents: there are none"),
        (1, ["a", "b", "c"], None, "3 answers cannot each meet 1 others"),
        (1, ["a", "b"], ["a", "b", "c"], "as many opponents as answers, 2; there are 3"),
    ],
)
def test_groups_that_cannot_be_compared(comparisons, answers, opponents, told):
    with pytest.raises(DataError, match=told):
        GroupWinRate(Table(CYCLE), comparisons=comparisons).group("x", answers, opponents)


def test_what_is_kept_is_not_paid_for_again(tmp_path):
    bill = tmp_path / "bill"
    first = GroupWinRate(Paid(str(bill)), cache=tmp_path / "v.sqlite").group("x", ["a", "b", "c"])
    again = GroupWinRate(Paid(str(bill)), cache=tmp_path / "v.sqlite").group("x", ["c", "b", "a"])
    assert Paid.calls(bill) == 6
    assert again.counts.cache_hits == 6
    np.testing.assert_allclose(first.win_rates, again.win_rates[::-1])


def test_what_several_threads_want_at_once_is_asked_once(tmp_path):
    bill = tmp_path / "bill"
    reward = GroupWinRate(Met(str(bill)), cache=tmp_path / "v.sqlite")
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(reward.group, "x", ["a", "b", "c", "d"][i % 2 :]) for i in range(8)]
        wait_until(lambda: bill_of(bill), "the first")
        GATE.set()
        groups = [future.result(LIMIT) for future in asked]
    assert set(bill_of(bill).values()) == {1}
    assert sum(group.counts.judge_calls for group in groups) == sum(bill_of(bill).values()) == 12
    assert len({group.win_rates for group in groups}) == 2


def test_who_waited_for_somebody_that_failed_asks_himself(tmp_path):
    reward = GroupWinRate(Met(str(tmp_path / "bill")), cache=tmp_path / "v.sqlite")
    shared = reward._shared()
    failed, both = threading.Event(), threading.Event()
    inner = shared._opened.compare_in_parts

    def first_fails(comparisons):
        if not failed.is_set():
            assert both.wait(LIMIT)
            failed.set()
            raise JudgeError("met", "gone")
        yield from inner(comparisons)

    shared._opened.compare_in_parts = first_fails
    GATE.set()
    with ThreadPoolExecutor(2) as pool:
        fails = pool.submit(reward.group, "x", ["a", "b"])
        wait_until(lambda: shared._claims, "the claim")
        waits = pool.submit(reward.group, "x", ["a", "b"])
        wait_until(waits.running, "the other")
        both.set()
        with pytest.raises(JudgeError, match="gone"):
            fails.result(LIMIT)
        assert waits.result(LIMIT).win_rates == (pytest.approx(0.6), pytest.approx(0.4))
    assert shared._claims == {}


def test_threads_share_connections_budget_and_what_is_in_flight(tmp_path):
    def script(number, body):
        return Send(log_probs(number, body), delay=0.02)

    with serving(script) as server:
        judge = OpenAI("m", base_url=server.url, concurrency=3, backoff=0.01)
        reward = GroupWinRate(judge, cache=tmp_path / "v.sqlite", budget={"max_calls": 1000})
        reward("first", ["a", "bb"])
        before = server.most_in_flight
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda i: reward(f"x{i}", ["a", "bb", "ccc"]), range(8)))
        assert before <= server.most_in_flight <= 3
        assert reward.spent().calls == len(server.requests) == 2 + 8 * 6
        opened._opened.close()


def test_a_budget_without_room_is_an_error_and_what_was_paid_for_is_kept(tmp_path):
    with serving(log_probs) as server:
        judge = OpenAI("m", base_url=server.url, concurrency=2)
        reward = GroupWinRate(judge, cache=tmp_path / "v.sqlite", budget={"max_calls": 4})
        with pytest.raises(JudgeError, match="the budget of 4 is used up"):
            reward("x", ["a", "bb", "ccc"])
        more = GroupWinRate(judge, cache=tmp_path / "v.sqlite", budget={"max_calls": 6})
        assert None not in more("x", ["a", "bb", "ccc"])
        assert len(server.requests) == 6
        opened._opened.close()


@pytest.mark.parametrize("uneven", [False, True])
def test_a_stop_hands_over_what_is_in_flight_and_asks_nothing_new(uneven, tmp_path):
    """`uneven`: of the two requests in flight one is answered long after the questions that were never asked failed."""
    going, last = threading.Event(), threading.Event()

    def script(number, body):
        if number:
            assert (last if uneven and number == 2 else going).wait(LIMIT)
        return log_probs(number, body)

    with serving(script) as server:
        judge = OpenAI("m", base_url=server.url, concurrency=2)
        reward = GroupWinRate(judge, cache=tmp_path / "v.sqlite")
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(reward, f"x{i}", ["a", "bb", "ccc"]) for i in range(2)]
            wait_until(lambda: server.in_flight == 2, "two in flight")
            reward.stop()
            going.set()
            if uneven:
                wait_until(lambda: server.in_flight == 1, "one answered")
                time.sleep(0.2)
            last.set()
            for future in asked:
                with pytest.raises(StoppedError, match="Every verdict there is was kept"):
                    future.result(LIMIT)
        opened._opened.close()
        paid = len(server.requests)
        assert paid < 12
        again = GroupWinRate(judge, cache=tmp_path / "v.sqlite")
        groups = again.groups(["x0", "x1"], [["a", "bb", "ccc"]] * 2)
        assert groups[0].counts.cache_hits == paid, "none lost"
        assert len(server.requests) == 12, "none paid for twice"
        opened._opened.close()


def test_async_groups_are_asked_at_a_time(tmp_path):
    waiting_for = []

    def reply(number, body):
        until = time.monotonic() + 2
        while waiting_for and waiting_for[0].most_in_flight < 4 and time.monotonic() < until:
            time.sleep(0.001)
        return Send(log_probs(number, body))

    with serving(reply) as server:
        reward = GroupWinRate(OpenAI("m", base_url=server.url, concurrency=4), cache=tmp_path / "v.sqlite")
        reward("settled", ["a", "bb"])
        waiting_for.append(server)  # from here on nobody is answered before all who may ask at once have done so

        async def all_of_them():
            return await asyncio.gather(*(reward.group_async(f"x{i}", ["a", "bb", "ccc"]) for i in range(10)))

        groups = asyncio.run(all_of_them())
        assert len(groups) == 10
        assert server.most_in_flight == 4
        opened._opened.close()


def _in_another_process(pickled: bytes) -> tuple[list[float | None], int]:
    reward = pickle.loads(pickled)
    return reward("x", ["a", "b", "c"]), os.getpid()


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_other_processes_share_what_is_kept(method, tmp_path):
    bill = tmp_path / "bill"
    reward = GroupWinRate(Paid(str(bill)), cache=tmp_path / "v.sqlite")
    here = reward("x", ["a", "b", "c"])
    asyncio.run(reward.group_async("x", ["a", "b", "c"]))  # threads that a fork leaves behind
    with multiprocessing.get_context(method).Pool(1) as pool:
        there, process = pool.apply(_in_another_process, (pickle.dumps(reward),))
    assert there == here
    assert process != os.getpid()
    assert Paid.calls(bill) == 6


def test_a_judge_file_is_read(tmp_path):
    (tmp_path / "judge.yaml").write_text("judge: {name: rules, rules: [{measure: characters}]}\n")
    reward = GroupWinRate(str(tmp_path / "judge.yaml"))
    rates = reward("x", ["a", "bbbb"])
    assert rates[1] > rates[0]


def test_completions_that_cannot_be_read_mask(tmp_path):
    with serving(lambda *_: completion("?")) as server:
        judge = OpenAI("m", base_url=server.url, verdict="samples", samples=1)
        group = GroupWinRate(judge, cache=tmp_path / "v.sqlite").group("x", ["a", "b"])
        assert group.win_rates == (None, None)
        assert group.reasons == {"unparsable": 2}
        opened._opened.close()
