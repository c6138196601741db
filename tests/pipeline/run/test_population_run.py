"""Runs whose users are three personas of one chat model: who is asked what, what is kept, and what a kill costs."""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import forked
import tiny_run
from comal.pipeline.disk.files import read_table
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.run.check import changes
from comal.pipeline.run.resolved import resolve
from comal.recipes.load import validate
from command_line import comal
from scripted_server import ChatServer, completion, serving, shown

PERSONAS = ["You read at bedtime.", "You read at work.", "You read aloud."]
K, SHOWN = 4, 2


COMMITTEE = {"name": "committee", "members": [{"name": "python", "function": "judge_functions:longer"}]}


def persona_of(body: dict[str, Any]) -> str:
    system = body["messages"][0]
    assert system["role"] == "system"
    return str(system["content"])


def asked(body: dict[str, Any]) -> tuple[str, str]:
    return persona_of(body), str(body["messages"][-1]["content"])


def opinion(_: int, body: dict[str, Any]) -> dict[str, Any]:
    """Every persona scores letters in its own way and is a little in favour of what comes first."""

    def score(text: str) -> float:
        return hashlib.sha256(f"{persona_of(body)}{text}".encode()).digest()[0] / 64

    first, second = map(score, shown(body))
    p = 1 / (1 + np.exp(second - first - 0.3))
    return completion("A", {"A": float(p) * 0.98, "B": float(1 - p) * 0.98})


def recipe(folder: Path, url: str) -> Path:
    reader = {"name": "openai", "model": "m", "base_url": url, "service": "test", "concurrency": 2}
    judge = {"name": "population", "reader": reader, "personas": PERSONAS, "weights": [2, 1, 1]}
    values = tiny_run.values(folder / "data", tiny_run.INPO, judge=judge, answers_shown=SHOWN, steps=1)
    assert values["sampling"]["samples"] == K
    values["evaluation"] |= {"best_of": [], "pool_size": 0}
    return tiny_run.write(folder, values)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunFolder, ChatServer]]:
    """A run, and the server with all that it was asked."""
    folder = tmp_path_factory.mktemp("finished")
    with serving(opinion) as server:
        done = forked.call(tiny_run.command(recipe(folder, server.url), folder / "run"))
        assert done.returncode == 0, done.stderr
        assert "several answers at once" in done.stdout
        yield RunFolder(folder / "run"), server


def test_one_question_a_user_and_pair(finished: tuple[RunFolder, ChatServer]) -> None:
    """Every pair is put to every persona, in both presentation orders, once."""
    run, server = finished
    questions = [asked(body) for body in server.answered]
    assert len(questions) == len(set(questions)) == len(server.requests)
    by_persona = {persona: {text for who, text in questions if who == persona} for persona in PERSONAS}
    assert by_persona[PERSONAS[0]] == by_persona[PERSONAS[1]] == by_persona[PERSONAS[2]]
    assert len(questions) == 3 * len(by_persona[PERSONAS[0]])
    assert run.verdicts("run").is_file()


def test_the_targets_are_what_users_take_of_all_that_can_be_shown(finished: tuple[RunFolder, ChatServer]) -> None:
    """From the verdicts in the step's file, every two of the three others shown beside a sample."""
    run, _ = finished
    (verdicts,) = run.path.glob("inpo/steps/*/verdicts-0.parquet")
    table = read_table(verdicts)
    P = np.array([table[f"user_{u}"] for u in range(3)]).reshape(3, -1, K, K)
    shares = np.array([0.5, 0.25, 0.25])
    expected = []
    for x, i in itertools.product(range(P.shape[1]), range(K)):
        taken = [
            1 / (1 + ((1 - P[:, x, i, list(others)]) / P[:, x, i, list(others)]).sum(axis=1))
            for others in itertools.combinations([j for j in range(K) if j != i], SHOWN)
        ]
        expected.append(((K - 1) * shares @ np.mean(taken, axis=0) + 1 / (SHOWN + 1)) / K)
    targets = read_table(verdicts.parent / "targets.parquet")["win_rate"]
    np.testing.assert_allclose(targets, expected)


def test_the_evaluation_says_what_one_and_two_answers_are_worth(finished: tuple[RunFolder, ChatServer]) -> None:
    run, _ = finished
    result = run.result()
    for policy in result.policies.values():
        assert policy.several is not None
        one, two = policy.several
        assert (one.answers_shown, two.answers_shown) == (1, 2)
        assert (one.bound, two.bound) == (1 / 2, pytest.approx(2 / 3))
        assert one.win_rate.mean == pytest.approx(1 - policy.figures.worst_case.win_rate.mean)
        for adversary, rate in policy.figures.adversaries.items():
            assert one.adversaries[adversary].mean == pytest.approx(1 - rate.mean)
            assert two.adversaries[adversary].mean >= one.adversaries[adversary].mean
        assert set(two.of_users) == {"user 1", "user 2", "user 3"}


def test_killed_while_the_second_user_is_asked_and_typed_again_nothing_is_paid_twice(
    tmp_path: Path, finished: tuple[RunFolder, ChatServer]
) -> None:
    uninterrupted, before = finished
    children: list[forked.Started] = []

    def kill_at_the_second_user(number: int, body: dict[str, Any]) -> dict[str, Any]:
        if persona_of(body) == PERSONAS[1] and children:
            os.kill(children.pop().pid, signal.SIGKILL)
        return opinion(number, body)

    with serving(opinion) as server:
        command = tiny_run.command(recipe(tmp_path, server.url), tmp_path / "run")
        children.append(forked.start(command, tmp_path / "log"))
        first = children[0]
        server.script = kill_at_the_second_user
        assert first.wait() == -signal.SIGKILL
        server.script = opinion
        paid_before_the_kill = Counter(asked(body) for body in server.answered if persona_of(body) == PERSONAS[0])
        assert paid_before_the_kill
        done = forked.call(command)
        assert done.returncode == 0, done.stderr
        paid = Counter(asked(body) for body in server.answered if persona_of(body) == PERSONAS[0])
        assert set(paid.values()) == {1}
        assert {asked(body) for body in server.answered} == {asked(body) for body in before.answered}
    assert (tmp_path / "run" / "result.json").read_bytes() == (uninterrupted.path / "result.json").read_bytes()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda values: values.update(answers_shown=K), "4 samples a prompt serve up to 3, got 4"),
        (lambda values: values.update(answers_shown=0), "answers_shown"),
        (lambda values: values["sampling"].update(comparisons=2), "takes all pairs of a prompt's samples"),
        (lambda values: values.update(judge=COMMITTEE), "`committee` has one verdict for all"),
        (lambda values: values["training"].update(loss="ipo", pairing="random"), "training.loss: `ipo` as set here"),
        (lambda values: values["training"].update(loss="pair", pairing="best-worst"), "`pair` as set here"),
        (lambda values: values["evaluation"].update(answers_shown=[3]), "2 answers cannot show 3"),
        (lambda values: values.update(answers_shown=3), "evaluation.samples: 2 answers a prompt cannot show 3"),
    ],
)
def test_what_knows_pairs_only_is_refused_by_name(tmp_path: Path, change: Callable[[Any], Any], told: str) -> None:
    path = recipe(tmp_path, "http://localhost:1/v1")
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(values)
    done = comal("plan", str(tiny_run.write(tmp_path, values)))
    assert done.exit_code == 2
    assert told in done.stderr


def test_pairs_with_win_rates_as_their_target_are_let_pass(tmp_path: Path) -> None:
    path = recipe(tmp_path, "http://localhost:1/v1")
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    values["training"] |= {"loss": "rebel", "pairing": "random"}
    done = comal("plan", str(tiny_run.write(tmp_path, values)), "--json")
    assert done.exit_code == 0, done.stderr
    total = yaml.safe_load(done.stdout)["total"]
    assert total["users"] == 3
    assert total["judge_calls"] == 6 * total["comparisons"], "three users, two orders"


def test_a_run_begun_before_there_were_several_answers_goes_on(tmp_path: Path) -> None:
    """Its recipe names no number of answers: one, which is what it goes on with and no other number."""
    plain = resolve(validate(tiny_run.values(tmp_path / "data"))).canonical()
    evaluation = {key: value for key, value in plain["evaluation"].items() if key != "answers_shown"}
    older = {key: value for key, value in plain.items() if key != "answers_shown"} | {"evaluation": evaluation}
    assert changes(older, plain) == {}
    assert changes(older, plain | {"answers_shown": 2}) == {"answers_shown": (1, 2)}
