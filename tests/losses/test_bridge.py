"""The bridge between the two interpreters: what the sampled losses are minimised by is the exact proximal step."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from comal.algorithms.base import INITIAL_ROLES, Copy, InformedProxStep, ProxStep, Report
from comal.algorithms.comal import COMAL
from comal.algorithms.inpo import INPO
from comal.judges.asking.completion import self_play_estimate
from comal.judges.asking.design import regular_graph
from comal.judges.asking.tables import win_rates, win_rates_against_others
from comal.losses.group import Group
from comal.losses.pair import Pair
from comal.plugins import ALGORITHMS
from random_games import random_policy, random_table
from softmax_minimum import minimise

VALUES = {"eta": 0.7, "tau": 0.4, "period": 2, "reverse_tau": 0.4, "forward_tau": 0.2, "follower_tau": 0.3}
REPORT = Report(0.1, 0.1, 0.05, 0.5, 0.1, 1)


def rules():
    for name in ALGORITHMS.names():
        fields = dataclasses.fields(ALGORITHMS.find(name, "algorithm"))
        needed = {f.name: VALUES[f.name] for f in fields if f.default is f.default_factory is dataclasses.MISSING}
        yield pytest.param(ALGORITHMS.build({"name": name} | needed, "algorithm"), id=name)
    yield pytest.param(COMAL(tau=0.4, inner=INPO(eta=0.7, tau=0.4)), id="comal-inpo")


def first_prox_steps(rule, count=6):
    """The plain prox steps among a program's first instructions, and the roles that exist when each is reached."""
    program, roles, steps = rule.program(), set(INITIAL_ROLES), []
    instruction = next(program)
    for _ in range(count):
        if type(instruction) in (ProxStep, InformedProxStep):  # the other subclasses have closed forms of their own
            steps.append((instruction, sorted(roles | {instruction.out})))
        if isinstance(instruction, ProxStep | Copy):
            roles.add(instruction.out)
        instruction = program.send(REPORT)
    return steps


def log_mix(mix, policies):
    return sum(weight * np.log(policies[role]) for role, weight in mix.weights.items())


def exact_step(step, P, policies):
    anchor = log_mix(step.anchor, policies)  # not normalised: the constant must cancel
    payoff = np.zeros(len(P))
    for weight, mix in step.opponent.terms:
        opponent = np.exp(log_mix(mix, policies))
        payoff += weight * (P @ (opponent / opponent.sum()))
    out = np.exp(anchor + step.eta * payoff)
    return anchor, payoff, out / out.sum()


@pytest.mark.parametrize("pin_constant", [0.0, 1.0])
@pytest.mark.parametrize("rule", list(rules()))
def test_the_minimiser_of_the_group_loss_is_the_exact_step_of_every_algorithm(rule, pin_constant):
    n = 5
    P = random_table(n, seed=1)
    loss = Group(pin_constant)
    for number, (step, roles) in enumerate(first_prox_steps(rule)):
        policies = {role: random_policy(n, seed=10 * number + i) for i, role in enumerate(roles)}
        anchor, payoff, expected = exact_step(step, P, policies)
        anchor_t, payoff_t = torch.tensor(anchor)[None], torch.tensor(payoff)[None]
        uniform = torch.full((1, n), -np.log(n), dtype=torch.float64)  # every answer once is a sample of this one
        found = minimise(lambda logp: loss(logp[None], anchor_t, payoff_t, step.eta, uniform).sum(), n)  # noqa: B023
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_every_first_order_algorithm_takes_prox_steps():
    without = {param.id for param in rules() if not first_prox_steps(param.values[0])}
    # Newton's method; the fixed-partition step; the step of fitted scores; informed steps; no prox step at all; the
    # steps under a forward KL, see test_forward_kl.py, and against replies.
    assert without <= {"comal", "sppo", "iterative_dpo", "comal_sampled", "online_grpo", "rspo", "slhf"}


@pytest.mark.parametrize("sampler_seed", [3, 4, 5])
def test_the_distribution_of_the_samples_does_not_matter(sampler_seed):
    n, K, B = 4, 6, 400
    P, policy, eta = random_table(n, seed=2), random_policy(n, seed=3), 0.9
    rng = np.random.default_rng(sampler_seed)
    samples = torch.tensor(rng.choice(n, size=(B, K), p=rng.dirichlet(np.full(n, 5.0))))
    anchor, payoff = torch.tensor(np.log(policy)), torch.tensor(P @ policy)
    zero = torch.zeros(B, K)
    found = minimise(lambda logp: Group()(logp[samples], anchor[samples], payoff[samples], eta, zero).mean(), n)
    expected = policy * np.exp(eta * P @ policy)
    np.testing.assert_allclose(found, expected / expected.sum(), atol=1e-5)


def weighted_tuples(policy, K):
    tuples = np.array(list(itertools.product(range(len(policy)), repeat=K)))
    return torch.tensor(tuples), torch.tensor(policy[tuples].prod(axis=1))


@pytest.mark.parametrize("K", [2, 3, 4])
@pytest.mark.parametrize("mean", [win_rates, win_rates_against_others])
def test_self_play_win_rates_that_include_the_diagonal_give_the_step_size_asked_for(K, mean):
    """Without it the step is K/(K−1) times as long. The expectation is over all K-tuples from the policy."""
    P, policy, eta = random_table(3, seed=4), random_policy(3, seed=5), 0.8
    samples, probability = weighted_tuples(policy, K)
    rates = torch.tensor(np.stack([mean(P[np.ix_(row, row)]) for row in samples.numpy()]))
    anchor = torch.tensor(np.log(policy))
    zero = torch.zeros(samples.shape)
    found = minimise(lambda logp: (probability * Group()(logp[samples], anchor[samples], rates, eta, zero)).sum(), 3)
    effective = eta if mean is win_rates else eta * K / (K - 1)
    expected = policy * np.exp(effective * P @ policy)
    np.testing.assert_allclose(found, expected / expected.sum(), atol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.5, np.inf])
def test_a_design_keeps_the_step_size_asked_for(weight):
    """The expectation is over all 4-tuples from the policy and all three designs in which each meets two others."""
    P, policy, eta, K = random_table(3, seed=4), random_policy(3, seed=5), 0.8, 4
    samples, probability = weighted_tuples(policy, K)
    square = regular_graph(K, 2, 0)
    designs = {m.tobytes(): m for m in (square[np.ix_(o, o)] for o in itertools.permutations(range(K)))}
    assert len(designs) == 3
    anchor, zero = torch.tensor(np.log(policy)), torch.zeros(samples.shape)
    rates = []
    for design in designs.values():
        others = [self_play_estimate(P[np.ix_(row, row)] - 0.5, design, weight) for row in samples.numpy()]
        rates.append(torch.tensor((0.5 + (K - 1) * (0.5 + np.stack(others))) / K))

    def expected_loss(logp):
        return sum((probability * Group()(logp[samples], anchor[samples], r, eta, zero)).sum() for r in rates) / 3

    expected = policy * np.exp(eta * P @ policy)
    np.testing.assert_allclose(minimise(expected_loss, 3), expected / expected.sum(), atol=1e-5)


def test_hard_labels_drawn_by_the_judge_on_independent_pairs_give_the_exact_step():
    P, policy, eta = random_table(3, seed=6), random_policy(3, seed=7), 0.8
    pairs, probability = weighted_tuples(policy, 2)
    chosen_first = torch.tensor(P)[pairs[:, 0], pairs[:, 1]]
    anchor = torch.tensor(np.log(policy))
    zero = torch.zeros(pairs.shape)

    def expected_loss(logp):
        def loss(rows):
            return Pair("hard")(logp[rows], anchor[rows], zero, eta, zero)

        return (probability * (chosen_first * loss(pairs) + (1 - chosen_first) * loss(pairs.flip(1)))).sum()

    expected = policy * np.exp(eta * P @ policy)
    np.testing.assert_allclose(minimise(expected_loss, 3), expected / expected.sum(), atol=1e-5)
