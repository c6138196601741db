import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from comal.errors import ConfigError
from comal.losses.group import Group
from comal.losses.pair import Pair
from comal.plugins import LOSSES


def random_batch(seed, K, B=3):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(B, K, generator=generator, dtype=torch.float64) for _ in range(4)]


@given(st.integers(0, 10**6), st.integers(2, 7))
def test_the_variance_is_the_all_pairs_regression(seed, K):
    logp, anchor, rates, policy = random_batch(seed, K)
    residual = logp - anchor - 0.6 * rates
    pairs = ((residual[:, :, None] - residual[:, None, :]) ** 2).sum(dim=(1, 2)) / (2 * K**2)
    torch.testing.assert_close(Group()(logp, anchor, rates, 0.6, policy), pairs)


@given(st.integers(0, 10**6))
def test_with_two_samples_group_is_a_quarter_of_the_pair_loss(seed):
    logp, anchor, rates, policy = random_batch(seed, 2)
    group = Group()(logp, anchor, rates, 0.6, policy)
    torch.testing.assert_close(4 * group, Pair("win_rate")(logp, anchor, rates, 0.6, policy))
    # A hard label as win rates, diagonal included: (1 + 1/2)/2 and (0 + 1/2)/2.
    label = torch.tensor([[0.75, 0.25]], dtype=torch.float64).expand(3, 2)
    hard = Pair("hard")(logp, anchor, rates, 0.6, policy)
    torch.testing.assert_close(4 * Group()(logp, anchor, label, 0.6, policy), hard)


def test_the_published_loss_by_hand():
    """Log-ratios .5 and −.25, so h = .75; eta = 2 is the paper's 1/2, its margin 1/(2·½) = 1; (.75 − 1)² = .0625."""
    logp, anchor = torch.tensor([[-1.0, -2.0]]), torch.tensor([[-1.5, -1.75]])
    zero = torch.zeros(1, 2)
    assert Pair()(logp, anchor, zero, 2.0, zero).tolist() == [0.0625]


@given(st.integers(0, 10**6), st.floats(-5, 5))
def test_the_anchor_needs_no_normalisation(seed, constant):
    logp, anchor, rates, policy = random_batch(seed, 4)
    for loss, width in ((Group(), 4), (Group(pin_constant=1.0), 4), (Pair(), 2)):
        args = [t[:, :width] for t in (logp, anchor, rates, policy)]
        shifted = [args[0], args[1] + constant, *args[2:]]
        torch.testing.assert_close(loss(*args[:3], 0.6, args[3]), loss(*shifted[:3], 0.6, shifted[3]))


@pytest.mark.parametrize("name", LOSSES.names())
def test_losses_refuse_shapes_that_would_broadcast(name):
    loss = LOSSES.build(name, "loss")
    good = torch.zeros(3, 2)
    assert loss(good, good, good, 1.0, good).shape == (3,)
    for bad in (torch.zeros(3, 1), torch.zeros(2), torch.zeros(1, 2)):
        with pytest.raises(ValueError, match="one shape"):
            loss(good, good, bad, 1.0, good)
    one = torch.zeros(3, 1)
    with pytest.raises(ValueError, match="two or more"):
        loss(one, one, one, 1.0, one)


def test_bad_settings():
    with pytest.raises(ConfigError, match="pin_constant"):
        LOSSES.build({"name": "group", "pin_constant": -1}, "loss")
    with pytest.raises(ConfigError, match="hard"):
        LOSSES.build({"name": "pair", "target": "soft"}, "loss")
    with pytest.raises(ValueError, match="K = 3"):
        Pair()(*[torch.zeros(1, 3)] * 3, 1.0, torch.zeros(1, 3))
