"""What the server answers: win rates to whoever asks well, a 4xx that names the mistake to everybody else."""

from __future__ import annotations

import json
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from comal.rewards import GroupWinRate
from comal.rewards import sharing as opened
from comal.rewards.server.requests import Limits
from comal.rewards.server.serve import TOKEN
from group_judges import CYCLE, GATE, Met, Table
from reward_client import reward_server
from waiting import LIMIT, wait_until

GOOD = {"prompt": "x", "answers": ["a", "b", "c"]}
PAIR = {"prompt": "x", "first": "a", "second": "b"}
HEAD = b"POST /v1/group HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(autouse=True)
def _closed_in_the_end(monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)
    GATE.clear()
    yield
    GATE.set()
    opened._opened.close()


@pytest.fixture(scope="module")
def client():
    with reward_server(GroupWinRate(Table(CYCLE, silent=("mute",))), Limits(answers=5, body=20_000)) as (found, _):
        yield found
        assert found.post("/v1/group", GOOD)[0] == 200, "after all that it still serves"


def test_a_group(client):
    status, said = client.post("/v1/group", GOOD)
    assert status == 200
    assert said["win_rates"] == pytest.approx([0.45, 0.45, 0.6])
    assert said["masked"] is False
    assert said["verdicts"] == {
        "questions": 3, "failures": 0, "judge_calls": 6, "kept": 0, "both_orders": 3, "flips": 0,
    }  # fmt: skip
    assert said["spend"] is None


def test_opponents_and_chat_prompts(client):
    chat = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "yes?"},
            {"role": "user", "content": "x"}]  # fmt: skip
    status, said = client.post("/v1/group", {"prompt": chat, "answers": ["a"], "opponents": ["b", "c"]})
    assert (status, said["win_rates"]) == (200, [pytest.approx(0.45)])


def test_no_verdict_is_masked_and_no_error(client):
    status, said = client.post("/v1/group", {"prompt": "x", "answers": ["a", "mute"]})
    assert (status, said["win_rates"], said["masked"]) == (200, [None, None], True)
    assert said["reasons"] == {"not said": 2}


def test_no_verdict_on_a_comparison_is_none_and_its_reasons_are_counted():
    with reward_server(GroupWinRate(Table(CYCLE, silent=("mute",)), comparisons=2)) as (client, _):
        status, said = client.post("/v1/compare", PAIR | {"second": "mute"})
        assert (status, said["probability"]) == (200, None)
        lines = client.get("/metrics")[1].splitlines()
        assert 'comal_failures_total{reason="not said"} 2.0' in lines
        assert "comal_masked_groups_total 0.0" in lines


def test_a_comparison(client):
    status, said = client.post("/v1/compare", PAIR)
    assert (status, said["probability"]) == (200, pytest.approx(0.8))


def test_health_and_metrics(client):
    assert client.get("/health")[1]["status"] == "ok"
    client.post("/v1/group", GOOD)
    status, page = client.get("/metrics")
    assert status == 200
    lines = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert float(lines["comal_questions_total"]) >= 3
    assert float(lines['comal_requests_total{path="/v1/group",status="200"}']) >= 1
    assert float(lines["comal_requests_judging"]) == 0


@pytest.mark.parametrize(
    ("path", "body", "status", "place", "told"),
    [
        ("/v1/group", b"", 400, "body", "Invalid JSON"),
        ("/v1/group", b'{"prompt": "x", "answers": ["a", "b"]', 400, "body", "Invalid JSON"),
        ("/v1/group", b'{"prompt": "\xff"}', 400, "body", "Invalid JSON"),
        ("/v1/group", b"[" * 5000, 400, "body", "Invalid JSON"),
        ("/v1/group", b"[]", 422, "body", "object"),
        ("/v1/group", {"prompt": "x"}, 422, "answers", "Field required"),
        ("/v1/group", GOOD | {"answer": 1}, 422, "answer", "Extra inputs"),
        ("/v1/group", GOOD | {"answers": ["a"]}, 422, "answers", "2 answers or more"),
        ("/v1/group", GOOD | {"answers": ["a", 3]}, 422, "answers.1", "valid string"),
        ("/v1/group", GOOD | {"answers": "ab"}, 422, "answers", "valid array"),
        ("/v1/group", GOOD | {"answers": ["a"] * 6}, 422, "answers", "there are 6, and 5 may be compared"),
        ("/v1/group", GOOD | {"opponents": []}, 422, "opponents", "at least 1"),
        ("/v1/group", GOOD | {"opponents": ["b"] * 6}, 422, "opponents", "there are 6"),
        ("/v1/group", GOOD | {"prompt": " "}, 422, "body", "prompt is empty"),
        ("/v1/group", GOOD | {"prompt": []}, 422, "body", "prompt is empty"),
        ("/v1/group", GOOD | {"prompt": "x" * 20_000}, 413, "body", "20000 may be sent"),
        ("/v1/compare", {"prompt": "x", "first": "a"}, 422, "second", "Field required"),
        ("/v1/compare", PAIR | {"first": None}, 422, "first", "valid string"),
        ("/v1/groups", GOOD, 404, "/v1/groups", "Did you mean `/v1/group`"),
        ("/health", GOOD, 405, "/health", "does not take POST"),
    ],
)
def test_bad_requests_are_named(client, path, body, status, place, told):
    found, said = client.post(path, body)
    assert (found, said["error"]["place"]) == (status, place)
    assert told in said["error"]["problem"]


def malformed() -> list[tuple[str, str, bytes, dict[str, str]]]:
    """Requests that no server should answer otherwise than by a 4xx."""
    rng = random.Random(0)
    json_type = {"Content-Type": "application/json"}
    whole = json.dumps(GOOD).encode()
    odd = [None, True, 0, -1, 1.5, 10**400, "", [], {}, [[]], ["a"], [None, None], {"a": "b"}, "\ud800", [{"role": 1}]]
    found = [("POST", "/v1/group", whole[:end], json_type) for end in range(len(whole) - 1)]
    for name in GOOD:
        for value in odd:
            if name == "prompt" and value == "\ud800":
                continue
            found.append(("POST", "/v1/group", json.dumps(GOOD | {name: value}).encode(), json_type))
    for name in PAIR:
        found += [
            ("POST", "/v1/compare", json.dumps(PAIR | {name: value}).encode(), json_type)
            for value in odd
            if not isinstance(value, str)
        ]
    for _ in range(90):
        broken = bytearray(whole)
        structure = [i for i, byte in enumerate(whole) if byte in b'{}[]:,"']
        broken[rng.choice(structure)] = rng.choice(b"\x00\x1f\xfe\x7f")
        found.append(("POST", rng.choice(["/v1/group", "/v1/compare"]), bytes(broken), json_type))
    for kind in ("text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        found.append(("POST", "/v1/group", whole, {"Content-Type": kind}))
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"):
        found.append((method, "/v1/group", b"", {}))
    for path in ("/", "/v1", "/v1/group/", "/v1/../etc/passwd", "/%00", "/v1/group%ff", "/v2/group", "//"):
        found.append(("POST", path, whole, json_type))
    return found


def test_malformed_requests_get_a_4xx_each(client):
    asked = malformed()
    assert len(asked) > 200
    for method, path, body, headers in asked:
        status, said, _ = client.send(method, path, body, headers)
        assert 400 <= status < 500, (method, path, body, headers, status, said)
        assert said["error"]["place"], (method, path, body)


@pytest.mark.parametrize(
    "content",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /v1/group HTTP/1.1\r\nHost: localhost\r\nContent-Length: many\r\n\r\n",
        b"POST /v1/group HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/group HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/group HTTP/1.1\r\n\r\n",
        b"POST /v1/group HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"POST /v1/group HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        HEAD + b"Content-Length: 50\r\n\r\n{",
    ],
    ids=range(9),
)
def test_what_is_hardly_http_gets_a_4xx_or_nothing(client, content):
    status = client.raw(content)
    assert status is None or 400 <= status < 500


def test_a_body_in_pieces_is_cut_off_where_it_is_too_long(client):
    piece = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
    content = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + piece * 26 + b"0\r\n\r\n"
    assert client.raw(content, shut=False) == 413


def test_a_body_that_does_not_come_is_not_waited_for():
    with reward_server(GroupWinRate(Table(CYCLE)), Limits(body_seconds=0.05)) as (client, _):
        address = (client.address.hostname, client.address.port)
        with socket.create_connection(address, timeout=LIMIT) as connection:
            connection.sendall(HEAD + b"Content-Length: 50\r\n\r\n{")
            assert b" 408 " in connection.makefile("rb").readline()


def test_pages_from_elsewhere_in_a_browser_of_this_machine_are_not_served(client):
    status, said = client.post("/v1/group", GOOD, Host="evil.example")
    assert (status, said["error"]["place"]) == (421, "Host")


def test_a_token_is_needed_where_there_is_one(monkeypatch):
    monkeypatch.setenv(TOKEN, "0123456789abcdef")
    with reward_server(GroupWinRate(Table(CYCLE))) as (client, _):
        assert client.post("/v1/group", GOOD)[0] == 401
        assert client.post("/v1/group", GOOD, Authorization="Bearer 0123456789abcdeF")[0] == 401
        assert client.post("/v1/group", GOOD, Authorization="Basic 0123456789abcdef")[0] == 401
        assert client.get("/metrics")[0] == 401
        assert client.get("/health")[0] == 200
        assert client.post("/v1/group", GOOD, Authorization="Bearer 0123456789abcdef", Host="elsewhere")[0] == 200


def test_who_comes_when_too_many_wait_is_told_to_come_again(tmp_path):
    reward = GroupWinRate(Met(str(tmp_path / "bill")), cache=tmp_path / "v.sqlite")
    with reward_server(reward, Limits(groups=1, waiting=1)) as (client, _), ThreadPoolExecutor(2) as pool:
        both = [pool.submit(client.post, "/v1/compare", PAIR | {"prompt": str(i)}) for i in range(2)]
        wait_until(lambda: "comal_requests_waiting 1.0" in client.get("/metrics")[1], "one to wait")
        status, said, headers = client.send(
            "POST", "/v1/compare", json.dumps(PAIR).encode(), {"Content-Type": "application/json"}
        )
        assert (status, headers["retry-after"]) == (429, "1")
        assert "2 requests" in said["error"]["problem"]
        GATE.set()
        assert [future.result(LIMIT)[0] for future in both] == [200, 200]


def test_a_judge_that_cannot_be_asked_is_a_502(monkeypatch, tmp_path):
    from comal.judges.openai import OpenAI
    from scripted_server import log_probs, serving

    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    with serving(log_probs) as gone:
        judge = OpenAI("m", base_url=gone.url, retries=0)
    with reward_server(GroupWinRate(judge, cache=tmp_path / "v.sqlite")) as (client, _):
        status, said = client.post("/v1/group", GOOD)
        assert status == 502
        assert "gives no answers: unreachable" in said["error"]["problem"]


def test_while_it_stops_it_judges_nothing_new(tmp_path):
    reward = GroupWinRate(Met(str(tmp_path / "bill")), cache=tmp_path / "v.sqlite")
    with reward_server(reward, Limits(groups=1)) as (client, server), ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(client.post, "/v1/group", {"prompt": str(i), "answers": ["a", "b"]}) for i in range(3)]
        wait_until(lambda: "comal_requests_waiting 2.0" in client.get("/metrics")[1], "two to wait")
        wait_until((tmp_path / "bill").is_file, "the third to be asked about")
        threading.Thread(target=server._stop).start()
        wait_until(lambda: client.get("/health")[0] == 503, "the stop")
        GATE.set()
        answers = [future.result(LIMIT) for future in asked]
        assert sorted(status for status, _ in answers) == [200, 503, 503]
        assert client.post("/v1/group", GOOD)[0] == 503
