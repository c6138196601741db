"""What several answers are worth, through the files of a step: on a game of three answers, against enumeration."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from comal.errors import RunError
from comal.games.populations import PopulationGame
from comal.judges.asking.oracle import Oracle
from comal.judges.asking.users import Users
from comal.judges.base import Judge
from comal.judges.population import Population
from comal.losses.base import Loss
from comal.losses.dro import DRO
from comal.losses.group import Group
from comal.losses.pair import Pair
from comal.losses.rebel import REBEL
from comal.losses.reinforce import REINFORCE
from comal.pipeline.disk.files import read_table
from comal.pipeline.step.certificate import sampled_certificate
from comal.pipeline.step.samples import Samples
from comal.pipeline.step.verdicts import draw_win_rates, judge_once
from comal.plugins import JUDGES
from comal.policies.base import Completion, Prompt

LETTERS = "abc"
K = 4
POLICY = np.array([0.5, 0.3, 0.2])
TUPLES = list(itertools.product(range(3), repeat=K))
CHANCE = np.array([math.prod(POLICY[y] for y in tuple_) for tuple_ in TUPLES])
UTILITIES = np.array([[2.0, 1.0, 0.0], [0.0, 1.5, 1.0], [1.0, 1.0, 0.0]])
SHARES = (0.5, 0.3, 0.2)


def user(utilities: np.ndarray, sharpness: float) -> Judge:
    """A user of the answers a, b and c: Plackett and Luce's, or a ranking with ties where the sharpness is infinite."""
    rules = [
        {"measure": "starts_with", "pattern": letter, "weight": float(u)}
        for letter, u in zip(LETTERS, utilities, strict=True)
        if u
    ]
    judge: Judge = JUDGES.build({"name": "rules", "decide": "sum", "sharpness": sharpness, "rules": rules}, "user")
    return judge


def users(sharpness: float) -> Users:
    return Users(Population(tuple(user(u, sharpness) for u in UTILITIES), weights=SHARES))


def game(sharpness: float, k: int) -> PopulationGame:
    temperature = np.zeros(3) if math.isinf(sharpness) else np.full(3, 1 / sharpness)
    return PopulationGame(UTILITIES, np.array(SHARES), temperature, k, tuple(LETTERS))


def drawn(tuples: list[tuple[int, ...]]) -> Samples:
    """Each tuple as the answers to a prompt of its own."""
    prompts = tuple(Prompt.of_text(f"prompt {number}") for number in range(len(tuples)))
    return Samples(prompts, tuple(tuple(Completion(LETTERS[y], (y,), True) for y in tuple_) for tuple_ in tuples))


def mean_by_answer(rates: np.ndarray) -> np.ndarray:
    """The mean rate of each answer where it is the first sample, over all tuples."""
    first = np.array([tuple_[0] for tuple_ in TUPLES])
    return np.array([CHANCE[first == y] @ rates[first == y, 0] / CHANCE[first == y].sum() for y in range(3)])


@pytest.fixture(scope="module", params=[1.5, math.inf], ids=["luce", "ranked"])
def sharpness(request: pytest.FixtureRequest) -> float:
    return float(request.param)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_over_all_samples_that_can_be_drawn_the_mean_is_the_exact_rate(
    tmp_path: Path, sharpness: float, k: int
) -> None:
    asked = users(sharpness)
    judged = judge_once(tmp_path / "v.parquet", asked, drawn(TUPLES), None)
    rates = draw_win_rates(judged, asked, k, self_play=True, unbiased=True)
    np.testing.assert_allclose(mean_by_answer(rates), game(sharpness, k).win_rates(POLICY, k), atol=1e-12)


@pytest.mark.parametrize("k", [1, 3])
def test_against_opponents_of_their_own_it_is_exact_too(tmp_path: Path, sharpness: float, k: int) -> None:
    """The same answer to every prompt, against all tuples of opponents."""
    asked = users(sharpness)
    for answer in range(3):
        mine = drawn([(answer,) * K] * len(TUPLES))
        judged = judge_once(tmp_path / f"{answer}.parquet", asked, mine, drawn(TUPLES))
        rates = draw_win_rates(judged, asked, k, self_play=False)
        assert CHANCE @ rates[:, 0] == pytest.approx(game(sharpness, k).win_rates(POLICY, k)[answer], abs=1e-12)


LOSSES: list[Loss] = [Group(), DRO(), REINFORCE(), REBEL(), Pair("win_rate")]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_losses_rest_at_the_exact_step(tmp_path: Path, sharpness: float, k: int, loss: Loss) -> None:
    """The mean gradient, over all samples that can be drawn, is 0 at policy · exp(eta w_k): steps are exactly eta."""
    eta = 0.7 * (k + 1)
    asked = users(sharpness)
    judged = judge_once(tmp_path / "v.parquet", asked, drawn(TUPLES), None)
    rates = torch.tensor(draw_win_rates(judged, asked, k, self_play=True, unbiased=loss.needs_unbiased_rates))
    step = POLICY * np.exp(eta * game(sharpness, k).win_rates(POLICY, k))
    log_step = torch.tensor(np.log(step / step.sum()), requires_grad=True)
    answers, log_policy = torch.tensor(TUPLES), torch.tensor(np.log(POLICY))
    if loss.pairs:
        answers, rates = answers[:, :2], rates[:, :2]
    logp = torch.log_softmax(log_step, dim=0)[answers]
    losses = loss(logp, log_policy[answers], rates, eta, log_policy[answers])
    (gradient,) = torch.autograd.grad(losses @ torch.tensor(CHANCE), log_step)
    np.testing.assert_allclose(gradient, np.zeros(3), atol=1e-10)


def test_one_answer_shown_is_the_game_of_pairs(tmp_path: Path) -> None:
    asked = users(1.5)
    oracle = Oracle(Population(tuple(user(u, 1.5) for u in UTILITIES), weights=SHARES))
    samples = drawn(TUPLES[:9])
    of_users = judge_once(tmp_path / "users.parquet", asked, samples, None)
    of_all = judge_once(tmp_path / "all.parquet", oracle, samples, None)
    np.testing.assert_allclose(of_users.tables, of_all.tables)
    rates = draw_win_rates(of_users, asked, 1, self_play=True)
    np.testing.assert_allclose(rates, [table.mean(axis=1) for table in of_all.tables])


def test_every_users_verdicts_are_in_the_file_and_are_not_asked_again(tmp_path: Path) -> None:
    path, asked = tmp_path / "v.parquet", users(1.5)
    judged = judge_once(path, asked, drawn(TUPLES[:5]), None)
    table = read_table(path)
    assert {"user_0", "user_1", "user_2", "probability"} <= set(table)
    columns = np.array([table[f"user_{u}"] for u in range(3)])
    np.testing.assert_allclose(np.array(SHARES) @ columns, table["probability"])
    before = asked.stats
    again = judge_once(path, asked, drawn(TUPLES[:5]), None)
    assert asked.stats == before
    np.testing.assert_array_equal(again.users, judged.users)


def test_a_file_without_the_users_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.parquet"
    judge_once(path, Oracle(user(UTILITIES[0], 1.5)), drawn(TUPLES[:2]), None)
    with pytest.raises(RunError, match="holds no verdicts of `user_0`"):
        judge_once(path, users(1.5), drawn(TUPLES[:2]), None)


def test_solved_against_several_draws_is_certified_by_their_value() -> None:
    """Whatever wins 1/(k + 1) against k draws of the reference leaves nothing to gain: the certificate is 0."""
    uniform = np.log(np.full((1, 4), 0.25))
    found = sampled_certificate(uniform, uniform, np.full((1, 4), 0.2), 0.1, even=1 / 5)
    assert found.kl_best_response == pytest.approx(0.0, abs=1e-12)
