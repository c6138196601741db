"""Which losses take which step: population losses on random games, minimised, against the step in closed form.

Every expectation is a sum over all tuples of samples, so a distance is a property of the loss and not of luck. What
`docs/losses.md` says is what `measure` finds.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.optimize import minimize, root

from comal.judges.asking.tables import win_rates, win_rates_against_others
from comal.losses.base import Loss
from comal.losses.pairing import pick_pairs
from comal.losses.reinforce import REINFORCE
from comal.plugins import LOSSES
from random_games import random_policy, random_table

Floats = NDArray[np.float64]

ETA = 1.5
SAMPLES = 3
EXACT = 1e-7
"""Total variation up to which a step counts as taken exactly; the solvers end below 1e-8."""
OFF = 1e-5
"""Total variation from which on it counts as another step. Nothing may lie between the two."""
RUNS_OFF = 15.0
"""Nats of log-ratio beyond which a loss counts as having no minimiser."""

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "`group`": {"name": "group"},
    "`group`, constant pinned": {"name": "group", "pin_constant": 1.0},
    "`pair`, hard label": {"name": "pair"},
    "`pair`, win rates": {"name": "pair", "target": "win_rate"},
    "`ipo`": {"name": "ipo"},
    "`ipo`, length-normalised": {"name": "ipo", "length_normalised": True},
    "`dpo`": {"name": "dpo"},
    "`dpo`, labels smoothed by 0.1": {"name": "dpo", "label_smoothing": 0.1},
    "`sppo`": {"name": "sppo"},
    "`rebel`": {"name": "rebel"},
    "`dro`, value fitted": {"name": "dro"},
    "`dro`, value from the partition": {"name": "dro", "value": "partition"},
    "`reinforce`": {"name": "reinforce"},
    "`grpo`": {"name": "grpo"},
    "`grpo`, clip 10⁶": {"name": "grpo", "clip": 1e6},
    "`grpo`, clip 10⁶, k3": {"name": "grpo", "clip": 1e6, "kl": "k3"},
    "`grpo`, clip 10⁶, rewards scaled": {"name": "grpo", "clip": 1e6, "scale_rewards": True},
}
PREFERENCES = ("general", "Bradley-Terry", "no noise")
LENGTHS = np.array([1.0, 2.0, 4.0])
"""Of the three answers, in tokens."""


@dataclass(frozen=True)
class Setting:
    """A game and a proximal step in it.

    Attributes:
        P: preferences, (n, n).
        anchor, opponent: policies, (n,).
        other: a policy that is neither, for off-policy samples.
        scores: of the Bradley-Terry model, where the preferences are of one.
    """

    P: Floats
    anchor: Floats
    opponent: Floats
    other: Floats
    scores: Floats | None = None

    @property
    def payoff(self) -> Floats:
        return self.P @ self.opponent

    def tilted(self, payoff: Floats) -> Floats:
        """anchor · exp(eta payoff), normalised: the prox step of a payoff."""
        weights = self.anchor * np.exp(ETA * payoff)
        return weights / weights.sum()


@dataclass(frozen=True)
class Population:
    """Every batch of one prompt that can come up, (B, K), with its probability, (B,)."""

    answers: NDArray[np.intp]
    rates: Floats
    probability: Floats
    sampler: Floats


@dataclass(frozen=True)
class Cell:
    """What was found for a loss, a way of sampling and a kind of preferences.

    Attributes:
        prox: largest total variation to the prox step over the games.
        reward: largest to the tilt by the Bradley-Terry scores; None where there are none.
        smallest: the least total variation to the prox step.
        log_ratio: largest log pi / anchor, in nats.
    """

    prox: float
    reward: float | None
    smallest: float
    log_ratio: float

    @property
    def text(self) -> str:
        if self.log_ratio > RUNS_OFF:
            return "no minimiser"
        if self.prox <= EXACT:
            return "**exact**"
        if self.reward is not None and self.reward <= EXACT:
            return f"reward ({self.prox:.2f})"
        return "off < 0.01" if self.prox < 0.01 else f"off {self.prox:.2f}"


@cache
def settings(preferences: str) -> tuple[Setting, ...]:
    """Games of three answers; the first of the general ones is the paper's, a cycle."""
    found = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        scores = None
        if preferences == "general":
            paper = np.array([[0.5, 0.1, 0.8], [0.9, 0.5, 0.1], [0.2, 0.9, 0.5]])
            P = paper if seed == 0 else random_table(3, seed)
        elif preferences == "Bradley-Terry":
            scores = rng.normal(size=3)
            P = 1 / (1 + np.exp(scores[None, :] - scores[:, None]))
        else:  # a ranking and a cycle
            order = rng.permutation(3)
            P = np.where(order[:, None] > order[None, :], 1.0, 0.0)
            if seed == 1:
                P = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
            np.fill_diagonal(P, 0.5)
        policies = [0.1 + 0.7 * random_policy(3, 100 * seed + i) for i in range(3)]
        found.append(Setting(P, *(p / p.sum() for p in policies), scores))
    return tuple(found)


# Ways of sampling. Each makes a `Population` of a setting, or None where the loss takes no such samples.


def _tuples(policy: Floats, count: int = SAMPLES) -> tuple[NDArray[np.intp], Floats]:
    answers = np.array(list(itertools.product(range(len(policy)), repeat=count)))
    return answers, policy[answers].prod(axis=1)


def _rates(loss: Loss, table: Floats) -> Floats:
    return (win_rates_against_others if loss.needs_unbiased_rates else win_rates)(table)


def own_samples(loss: Loss, setting: Setting) -> Population | None:
    """K samples of the opponent, judged among themselves."""
    if loss.pairs:
        return None
    answers, probability = _tuples(setting.opponent)
    rates = np.stack([_rates(loss, setting.P[np.ix_(row, row)]) for row in answers])
    return Population(answers, rates, probability, setting.opponent)


def independent_pair(loss: Loss, setting: Setting) -> Population:
    """Two samples of the opponent and one label, drawn by the judge's probability; the chosen one comes first."""
    return _labelled_pairs(loss, setting, setting.opponent)


def _labelled_pairs(loss: Loss, setting: Setting, sampler: Floats) -> Population:
    answers, probability = _tuples(sampler, 2)
    won = setting.P[answers[:, 0], answers[:, 1]]
    label = _rates(loss, np.array([[0.5, 1.0], [0.0, 0.5]]))
    rates = np.tile(label, (2 * len(answers), 1))
    return Population(
        np.concatenate([answers, answers[:, ::-1]]),
        rates,
        np.concatenate([probability * won, probability * (1 - won)]),
        sampler,
    )


def off_policy(loss: Loss, setting: Setting) -> Population:
    """Samples of another policy: with labels of their own for losses that see a label, else judged by the opponent."""
    if loss.pairs:
        population = _labelled_pairs(loss, setting, setting.other)
        return Population(
            population.answers, setting.payoff[population.answers], population.probability, population.sampler
        )
    answers, probability = _tuples(setting.other)
    return Population(answers, setting.payoff[answers], probability, setting.other)


class _Order:
    """A stand-in for a generator: `pick_pairs` breaks ties in the order it is told."""

    def __init__(self, order: tuple[int, ...]) -> None:
        self.order = np.array(order, dtype=float)

    def random(self, shape: tuple[int, ...]) -> Floats:
        return np.broadcast_to(self.order, shape)


def _selected(strategy: Any) -> Callable[[Loss, Setting], Population | None]:
    def population(loss: Loss, setting: Setting) -> Population | None:
        if not loss.pairs:
            return None
        answers, probability = _tuples(setting.opponent)
        rates = np.stack([_rates(loss, setting.P[np.ix_(row, row)]) for row in answers])
        orders = list(itertools.permutations(range(SAMPLES)))
        parts = []
        for order in orders:
            pair = pick_pairs(strategy, rates, _Order(order))  # type: ignore[arg-type]  # all it asks of a generator
            rows = np.arange(len(answers))[:, None]
            parts.append((answers[rows, pair], rates[rows, pair]))
        return Population(
            np.concatenate([a for a, _ in parts]),
            np.concatenate([r for _, r in parts]),
            np.tile(probability / len(orders), len(orders)),
            setting.opponent,
        )

    return population


def redrawn(loss: Loss, setting: Setting) -> Population | None:
    """Samples of the policy in training, drawn anew at each of its steps; `probability` is made as it moves."""
    if loss.pairs:
        return None
    answers, probability = _tuples(setting.opponent)
    return Population(answers, setting.payoff[answers], probability, setting.opponent)


SAMPLINGS: Mapping[str, Callable[[Loss, Setting], Population | None]] = {
    "all pairs of the opponent's samples": own_samples,
    "independent pair, drawn label": independent_pair,
    "best-worst pair": _selected("best-worst"),
    "best-second pair": _selected("best-second"),
    "another policy's samples": off_policy,
    "redrawn as the policy moves": redrawn,
}


# Minimising


@dataclass
class _Objective:
    """The population loss and its gradient as functions of all logits but the last, which is 0."""

    loss: Loss
    setting: Setting
    population: Population
    follow: bool
    per_answer: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.per_answer = torch.tensor(1 / LENGTHS if self.loss.per_token else np.ones(3))

    def __call__(self, free: Floats) -> tuple[float, Floats]:
        logits = torch.tensor(np.append(free, 0.0), requires_grad=True)
        logp = logits.log_softmax(0)
        answers = torch.tensor(self.population.answers)
        probability = torch.tensor(self.population.probability)
        sampler = torch.tensor(np.log(self.population.sampler))
        if self.follow:
            sampler = logp.detach()
            probability = sampler[answers].sum(dim=1).exp()
        anchor = torch.tensor(np.log(self.setting.anchor))
        scaled = [(t * self.per_answer)[answers] for t in (logp, anchor, sampler)]
        losses = self.loss(scaled[0], scaled[1], torch.tensor(self.population.rates), ETA, scaled[2])
        total = (probability * losses).sum()
        total.backward()
        assert logits.grad is not None
        return float(total.detach()), logits.grad.numpy()[:-1].copy()

    def policy(self, free: Floats) -> Floats:
        return np.exp(torch.tensor(np.append(free, 0.0)).log_softmax(0).numpy())


def rest_point(loss: Loss, setting: Setting, population: Population, *, follow: bool) -> Floats:
    """The policy at which gradient descent from the opponent would end."""
    objective = _Objective(loss, setting, population, follow)
    start = np.log(setting.opponent[:-1] / setting.opponent[-1])
    if follow or isinstance(loss, REINFORCE):  # no function that decreases: follow the gradient itself
        start = solve_ivp(lambda _, x: -objective(x)[1], (0, 300), start, method="LSODA", rtol=1e-6, atol=1e-9).y[:, -1]
    else:
        descent = minimize(objective, start, jac=True, method="BFGS", options={"gtol": 1e-10, "maxiter": 200})
        start = descent.x
        if np.abs(descent.jac).max() > 1e-5:  # a kink, as where a clip binds
            simplex = {"xatol": 1e-7, "fatol": 1e-13, "maxiter": 400}
            start = minimize(lambda x: objective(x)[0], start, method="Nelder-Mead", options=simplex).x
            return objective.policy(start)
    if np.abs(objective(start)[1]).max() > 1e-10:
        polished = root(lambda x: objective(x)[1], start, tol=1e-13).x
        if np.abs(polished - start).max() < 1e-2:  # and not the gradient's other zero, at infinity
            start = polished
    return objective.policy(start)


def total_variation(p: Floats, q: Floats) -> float:
    return float(np.abs(p - q).sum() / 2)


@cache
def measure(variant: str, sampling: str, preferences: str) -> Cell | None:
    """What the minimiser is, over the settings; None where the loss does not take such samples."""
    loss: Loss = LOSSES.build(dict(VARIANTS[variant]), "loss")
    prox, reward, ratios = [], [], []
    for setting in settings(preferences):
        population = SAMPLINGS[sampling](loss, setting)
        if population is None:
            return None
        found = rest_point(loss, setting, population, follow=SAMPLINGS[sampling] is redrawn)
        prox.append(total_variation(found, setting.tilted(setting.payoff)))
        if setting.scores is not None:
            reward.append(total_variation(found, setting.tilted(setting.scores)))
        ratios.append(float(np.ptp(np.log(np.maximum(found, 1e-300) / setting.anchor))))
    return Cell(max(prox), max(reward) if reward else None, min(prox), max(ratios))
