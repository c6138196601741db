"""The family's methods as the comparisons of `comal reproduce synthetic` run them: defaults and grids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from comal.algorithms.base import Algorithm
from comal.algorithms.comal import COMAL
from comal.algorithms.comal_sampled import SampledCOMAL
from comal.algorithms.egpo import EGPO
from comal.algorithms.inpo import INPO
from comal.algorithms.iterative_dpo import IterativeDPO
from comal.algorithms.mnpo import MNPO
from comal.algorithms.mpo import MPO
from comal.algorithms.mwu import MWU
from comal.algorithms.nash_md import NashMD
from comal.algorithms.nash_mirror_prox import NashMirrorProx
from comal.algorithms.omwu import OMWU
from comal.algorithms.sppo import SPPO
from comal.algorithms.variants.nash_prox import NashProx
from comal.algorithms.variants.rspo import RSPO

AUTOMATIC = "COMAL, certificate"
"""The method that the others are compared with; it has no grid."""
DPO = "iterative DPO"
ETAS = (0.5, 1.0, 2.0, 4.0)
TAUS = (0.01, 0.03, 0.1)
PERIODS = (20, 80)


@dataclass(frozen=True, slots=True)
class Method:
    """A method: how to make it, its settings by default, and a grid around them.

    Attributes:
        make: from the values of one setting.
        options: what the values are called.
        default: the values used untuned: eta = 1 and tau = 0.1 as elsewhere in this package, OMWU's from its theorem.
        grid: all settings to try, the default not necessarily among them.
    """

    make: Callable[..., Algorithm]
    options: tuple[str, ...]
    default: tuple[float, ...]
    grid: tuple[tuple[float, ...], ...]

    def at(self, values: tuple[float, ...]) -> Algorithm:
        """The algorithm at one setting."""
        return self.make(*values)

    def settings(self, values: tuple[float, ...]) -> str:
        """A setting for people, `eta 1, tau 0.1`."""
        return ", ".join(f"{name} {value:g}" for name, value in zip(self.options, values, strict=True))


def _by_eta(make: Callable[[float], Algorithm], default: float = 1.0) -> Method:
    return Method(make, ("eta",), (default,), tuple((eta,) for eta in ETAS))


def _regularised(make: Callable[[float, float], Algorithm]) -> Method:
    grid = tuple((eta, tau) for eta in ETAS for tau in TAUS if eta * tau <= 1)
    return Method(make, ("eta", "tau"), (1.0, 0.1), grid)


def scheduled(eta: float, tau: float, steps: float) -> COMAL:
    """COMAL with a manual schedule: the reference moves to the policy every `steps` steps of the inner solver."""
    return COMAL(inner=EGPO(eta, tau), inner_steps=int(steps), update="copy")


METHODS: dict[str, Method] = {
    AUTOMATIC: Method(SampledCOMAL, (), (), ()),
    "self-play (MWU, iterative IPO)": _by_eta(MWU),
    "SPPO": _by_eta(SPPO),
    DPO: _by_eta(IterativeDPO),
    "OMWU / ONPO": _by_eta(OMWU, 0.125),
    "INPO": _regularised(INPO),
    "Nash-MD": _regularised(NashMD),
    "EGPO": _regularised(EGPO),
    "Nash mirror prox": _regularised(NashMirrorProx),
    "MNPO": _regularised(MNPO),
    "Nash Prox": _regularised(NashProx),
    "RSPO": Method(
        RSPO,
        ("eta", "reverse tau", "forward tau"),
        (1.0, 0.1, 0.1),
        tuple((eta, reverse, forward) for eta in ETAS for reverse in TAUS for forward in TAUS),
    ),
    "MPO": Method(
        lambda eta, tau, period: MPO(eta, tau, int(period)),
        ("eta", "tau", "period"),
        (1.0, 0.1, 20),
        tuple((eta, tau, period) for eta in ETAS for tau in TAUS for period in PERIODS),
    ),
}
SCHEDULES = Method(
    scheduled,
    ("eta", "tau", "K"),
    (1.0, 0.1, 20),
    tuple((eta, tau, steps) for eta in ETAS for tau in TAUS for steps in PERIODS),
)
"""COMAL by hand: what the automatic rule is compared with."""
