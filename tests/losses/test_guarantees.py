"""The table in docs/losses.md is what minimising the population losses finds, cell by cell."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from comal.games.steps.fixed_partition import fixed_partition_step
from comal.losses.base import Loss
from comal.losses.dro import DRO
from comal.losses.group import Group
from comal.losses.ipo import IPO
from comal.losses.reinforce import REINFORCE
from comal.losses.sppo import SPPO
from comal.plugins import LOSSES
from loss_guarantees import (
    ETA,
    EXACT,
    LENGTHS,
    OFF,
    PREFERENCES,
    RUNS_OFF,
    SAMPLINGS,
    VARIANTS,
    Setting,
    independent_pair,
    measure,
    off_policy,
    rest_point,
    settings,
    total_variation,
)

PAGE = (Path(__file__).parents[2] / "docs" / "losses.md").read_text(encoding="utf-8")
LABELS, OWN, REDRAWN = (
    "independent pair, drawn label",
    "all pairs of the opponent's samples",
    "redrawn as the policy moves",
)


def printed(variant: str, preferences: str) -> list[str]:
    """The cells of a loss in the section of these preferences."""
    section = PAGE.split(f"## {preferences[0].upper()}{preferences[1:]} preferences\n")[1].split("\n## ")[0]
    (line,) = [line for line in section.splitlines() if line.startswith(f"| {variant} |")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_what_surrounds_the_table_is_up_to_date() -> None:
    made = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "make_losses.py"))
    assert PAGE.startswith(made["HEAD"]), "run `make docs`"
    assert PAGE.endswith(made["COST"] + "\n".join(made["_cost"](name) for name in LOSSES.names()) + "\n")


def test_every_loss_is_in_the_table() -> None:
    assert {spec["name"] for spec in VARIANTS.values()} == set(LOSSES.names())


@pytest.mark.parametrize("preferences", PREFERENCES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_printed_row_is_what_is_measured_and_nothing_is_in_doubt(variant: str, preferences: str) -> None:
    cells = [measure(variant, sampling, preferences) for sampling in SAMPLINGS]
    assert printed(variant, preferences) == ["—" if c is None else c.text for c in cells], "run `make docs`"
    for cell in cells:
        if cell is not None and cell.log_ratio <= RUNS_OFF:
            assert cell.prox <= EXACT or cell.prox > OFF
            assert cell.reward is None or cell.reward <= EXACT or cell.reward > OFF


# The claims of the losses' own files, on the paper's game (a cycle) and others; each would fail if it were not so.


def distance(variant: str, sampling: str, preferences: str = "general") -> float:
    cell = measure(variant, sampling, preferences)
    assert cell is not None
    return cell.smallest


def test_what_each_file_says_of_its_minimiser() -> None:
    for variant in ("`pair`, hard label", "`ipo`", "`rebel`"):
        assert measure(variant, LABELS, "general").prox <= EXACT
        assert measure(variant, "best-worst pair", "general").prox > 0.02
    assert distance("`ipo`", "another policy's samples") > 0.01
    assert measure("`rebel`", "another policy's samples", "general").prox <= EXACT
    assert distance("`dpo`", LABELS) > 0.1, "on a cycle DPO is another step"
    assert measure("`dpo`", LABELS, "Bradley-Terry").reward <= EXACT
    assert measure("`dpo`", LABELS, "no noise").log_ratio > RUNS_OFF
    assert distance("`grpo`", OWN) > 0.01, "a clip that binds stops short"
    assert measure("`grpo`", REDRAWN, "general").prox <= EXACT, "and arrives on fresh samples"
    assert distance("`grpo`, clip 10⁶, k3", REDRAWN) > 1e-3, "k3's gradient is of the other KL"


def test_sppo_takes_the_fixed_partition_step_when_the_anchor_draws_the_samples() -> None:
    for setting in settings("general"):
        same = type(setting)(setting.P, setting.opponent, setting.opponent, setting.other)
        found = rest_point(SPPO(), same, independent_pair(SPPO(), same), follow=False)
        advantage = ETA * (same.payoff - 0.5)
        expected = np.exp(fixed_partition_step(np.log(same.anchor)[None], advantage[None])[0])
        assert total_variation(found, expected) < 1e-7
        assert total_variation(found, same.tilted(same.payoff)) > 10 * OFF


def test_length_normalised_ipo_tilts_by_length_times_payoff() -> None:
    """log pi/anchor = |y| (eta w + c), by a bracket for c."""
    from scipy.optimize import brentq

    for setting in settings("general"):
        same = type(setting)(setting.P, setting.anchor, setting.other, setting.other)
        loss = IPO(length_normalised=True)
        found = rest_point(loss, same, off_policy(loss, same), follow=False)

        def policy(c: float, same: Setting = same) -> np.ndarray:
            return same.anchor * np.exp(LENGTHS * (ETA * same.payoff + c))

        c = brentq(lambda c: policy(c).sum() - 1, -10, 10, xtol=1e-14)
        assert total_variation(found, policy(c)) < 1e-7


def gradient(loss: Loss, seed: int, K: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    logp, anchor, rates, policy = (torch.randn(3, K, generator=generator, dtype=torch.float64) for _ in range(4))
    logp.requires_grad_()
    loss(logp, anchor, rates, 0.7, policy).sum().backward()
    assert logp.grad is not None
    return logp.grad


@pytest.mark.parametrize("K", [2, 3, 6])
def test_reinforce_and_fitted_dro_are_the_group_regression(K: int) -> None:
    expected = gradient(Group(), 5, K)
    torch.testing.assert_close(gradient(DRO(), 5, K), expected / 2)
    torch.testing.assert_close(gradient(REINFORCE(), 5, K), expected * K / (2 * (K - 1)))


def test_the_clipped_objective_by_hand() -> None:
    """Ratios e^.5 ≈ 1.65 and e^−.5 ≈ .61, clipped to 1.2 and .8; advantages ±.4 (leave-one-out).

    min(1.65·.4, 1.2·.4) = .48 and min(.61·(−.4), .8·(−.4)) = −.32, mean .08, times eta 2. The anchor drew them, so
    the penalty is the mean of rho log rho = (1.6487·.5 − .6065·.5) / 2 = .26054.
    """
    from comal.losses.grpo import GRPO

    logp, old = torch.tensor([[-0.5, -1.5]]).double(), torch.tensor([[-1.0, -1.0]]).double()
    rates = torch.tensor([[0.7, 0.3]]).double()
    expected = 0.5 * (np.exp(0.5) - np.exp(-0.5)) / 2 - 2 * 0.08
    assert GRPO()(logp, old, rates, 2.0, old).tolist() == pytest.approx([expected])
    k3 = (np.exp(-0.5) + 0.5 - 1 + np.exp(0.5) - 0.5 - 1) / 2 - 2 * 0.08
    assert GRPO(kl="k3")(logp, old, rates, 2.0, old).tolist() == pytest.approx([k3])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "dpo", "label_smoothing": 0.5}, "label_smoothing"),
        ({"name": "dro", "value": "learned"}, "fitted"),
        ({"name": "grpo", "clip": 0}, "clip"),
        ({"name": "grpo", "kl": "k2"}, "k3"),
    ],
)
def test_bad_settings(spec: dict, message: str) -> None:
    from comal.errors import ConfigError

    with pytest.raises(ConfigError, match=message):
        LOSSES.build(spec, "loss")
