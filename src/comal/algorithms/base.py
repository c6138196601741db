"""Instructions: what every algorithm of the family is written in.

An algorithm is a generator that *yields instructions* and may receive a `Report` of each. It knows neither numpy nor
torch; `comal.games.backend` carries the instructions out in closed form on matrix games, `comal.pipeline` on language
models. The position in the program and the reports so far are the whole state of a run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from math import isclose, isfinite
from types import MappingProxyType
from typing import ClassVar, TypeAlias

Role: TypeAlias = str
POLICY: Role = "policy"
REFERENCE: Role = "reference"
TARGET: Role = "target"
"""A policy to be exploited: no program writes it."""
INITIAL_ROLES = (POLICY, REFERENCE, TARGET)
"""Roles that exist before the first instruction; each starts as the initial policy, unless it is given another."""


@dataclass(frozen=True, slots=True)
class Mix:
    """Normalised geometric mixture of named policies: pi(y) ∝ prod_r pi_r(y)**weights[r], weights summing to 1."""

    weights: Mapping[Role, float]

    def __post_init__(self) -> None:
        kept = {role: float(weight) for role, weight in self.weights.items() if weight != 0.0}
        if not kept or not all(isfinite(w) for w in kept.values()) or not isclose(sum(kept.values()), 1.0):
            raise ValueError(f"mixture weights must be finite and sum to 1, got {dict(self.weights)}")
        object.__setattr__(self, "weights", MappingProxyType(kept))

    @property
    def only_role(self) -> Role | None:
        """The role, when the mixture is a single policy."""
        return next(iter(self.weights)) if len(self.weights) == 1 else None

    def __reduce__(self) -> tuple[type[Mix], tuple[dict[Role, float]]]:
        return Mix, (dict(self.weights),)


def only(role: Role) -> Mix:
    """The mixture that is `role` alone."""
    return Mix({role: 1.0})


@dataclass(frozen=True, slots=True)
class Opponents:
    """A signed combination of opponents, weights summing to 1: the payoff is w(y) = sum_i weight_i P(y > opponent_i).

    One opponent of weight 1 is the usual case; optimistic methods use 2 P(. > pi_t) - P(. > pi_{t-1}).
    """

    terms: tuple[tuple[float, Mix], ...]

    def __post_init__(self) -> None:
        if not self.terms or not isclose(sum(weight for weight, _ in self.terms), 1.0):
            raise ValueError(f"opponent weights must sum to 1, got {[weight for weight, _ in self.terms]}")


def against(opponent: Mix | Role) -> Opponents:
    """The payoff P(. > opponent)."""
    return Opponents(((1.0, only(opponent) if isinstance(opponent, str) else opponent),))


@dataclass(frozen=True, slots=True)
class ProxStep:
    """out <- argmax_pi  eta <pi, w> - KL(pi || anchor), where w(y) = P(y > opponent).

    In closed form: out(y) ∝ anchor(y) · exp(eta w(y)).

    Attributes:
        loss: name of the one prox loss that takes this kind of step on language models; None: any will do.
    """

    loss: ClassVar[str | None] = None

    anchor: Mix
    opponent: Opponents
    eta: float
    out: Role = POLICY

    @property
    def scored(self) -> tuple[Role, ...]:
        """The roles whose log-probabilities of an answer say where the step takes it, besides its payoff."""
        return tuple(self.anchor.weights)


@dataclass(frozen=True, slots=True)
class InformedProxStep(ProxStep):
    """The same step; which comparisons estimate its payoff is left to an interpreter that keeps a record of them.

    Others draw both answers, as for any `ProxStep`.
    """


@dataclass(frozen=True, slots=True)
class FixedPartitionStep(ProxStep):
    """out <- argmin_pi  E_{y ~ anchor} (log pi(y)/anchor(y) - eta (w(y) - 1/2))² over normalised policies.

    The regression form of `ProxStep` with its log-partition function fixed at eta/2 instead of left free, as SPPO
    publishes it. The minimiser is stationary where anchor(y) · residual(y) is proportional to out(y). On language
    models it is a `ProxStep` taken by the loss `sppo`.
    """

    loss: ClassVar[str | None] = "sppo"


@dataclass(frozen=True, slots=True)
class BradleyTerryStep(ProxStep):
    """out <- argmax_pi  eta <pi, s> - KL(pi || anchor), s the scores of the Bradley-Terry model of the comparisons.

    s maximises E_{y, y' ~ opponent} P(y > y') log sigmoid(s(y) - s(y')), and out(y) ∝ anchor(y) · exp(eta s(y)). On
    language models it is a `ProxStep` taken by the loss `dpo` on independent pairs of the opponent's samples.
    """

    loss: ClassVar[str | None] = "dpo"


@dataclass(frozen=True, slots=True)
class ForwardKLStep(ProxStep):
    """out <- argmax_pi  eta <pi, w> - KL(pi || anchor) - forward · KL(covered || pi).

    The second divergence keeps pi from giving up what `covered` says. The maximiser is where, with one constant c,

        log pi(y) - forward · covered(y) / pi(y) = log anchor(y) + eta w(y) - c      for every y.

    On language models it is a regression like that of `ProxStep`, of the left-hand side instead of log pi, which the
    loss `group` takes.

    Attributes:
        forward: weight of the second divergence, above 0.
        covered: a policy.
    """

    loss: ClassVar[str | None] = "group"

    forward: float = 1.0
    covered: Role = REFERENCE

    @property
    def scored(self) -> tuple[Role, ...]:
        """The anchor's, and the policy to be covered."""
        return tuple(dict.fromkeys((*self.anchor.weights, self.covered)))


@dataclass(frozen=True, slots=True)
class StackelbergStep(ProxStep):
    """out <- argmax_pi  eta <pi, v> - KL(pi || anchor), where the opponent answers *after* it has seen y.

    v(y) is what y wins against the reply that is best under a KL to `opponent`, of weight `follower_tau`:

        v(y) = min_omega E_{y' ~ omega} P(y > y') + follower_tau · KL(omega || opponent)
             = - follower_tau · log E_{y' ~ opponent} exp(- P(y > y') / follower_tau)

    Attributes:
        follower_tau: weight of the KL that keeps the reply near the opponent, above 0.
    """

    follower_tau: float = 1.0


@dataclass(frozen=True, slots=True)
class PlayOnline:
    """out plays against itself as it moves: `updates` gradient updates in the game tau-regularised to `reference`.

    Of P(pi > pi') - tau KL(pi || reference) every update climbs the gradient in pi at pi' = pi, on answers of the
    policy as it is then. This is no proximal step: nothing is regressed onto a target, and the opponent moves with
    every update. A natural gradient with step size eta moves log-odds by eta (w - tau log pi/reference), w = P(. > pi);
    that is `natural_step`, which the interpreters of matrix games take. On language models the gradient is sampled and
    the optimiser's learning rate stands for eta.

    Attributes:
        reference: of the KL; not written.
        tau: weight of the KL.
        eta: step size of a natural update.
        updates: number of updates.
    """

    tau: float
    eta: float
    updates: int
    reference: Role = REFERENCE
    out: Role = POLICY

    @property
    def natural_step(self) -> ProxStep:
        """One update with the natural gradient: reference^{eta tau} · out^{1 - eta tau} · exp(eta P(. > out))."""
        pull = self.eta * self.tau
        return ProxStep(Mix({self.reference: pull, self.out: 1 - pull}), against(self.out), self.eta, self.out)


@dataclass(frozen=True, slots=True)
class Copy:
    """out <- src."""

    src: Role
    out: Role


CERTIFICATE_ROUNDING = 1e-28
"""KLs below this are rounding errors of two equal policies; a certificate that compares KLs forgives as much."""


@dataclass(frozen=True, slots=True)
class Certify:
    """Report how well `policy` solves the game that is tau-regularised to `reference`; changes nothing.

    With BR(p) ∝ reference · exp(P(. > p) / tau), the regularised duality gap of p is 2 tau KL(p || BR(p)); the report
    carries KL(p || BR(p)) and KL(p || reference).
    """

    tau: float
    policy: Role = POLICY
    reference: Role = REFERENCE


@dataclass(frozen=True, slots=True)
class ExactOnly:
    """Base of the instructions that need the whole preference matrix; only the exact interpreter accepts them."""


@dataclass(frozen=True, slots=True)
class SolveRegularised(ExactOnly):
    """policy <- a solution of the game tau-regularised to the reference, by Newton's method.

    Accepted is a p with KL(p || BR(p)) ≤ accept · KL(p || reference). The report carries both KLs and
    the number of linear solves.
    """

    tau: float
    accept: float


@dataclass(frozen=True, slots=True)
class ProximalPoint(ExactOnly):
    """One outer step of COMAL: solve as `SolveRegularised` does, then reference <- BR(policy), with tau adapted.

    The interpreter keeps one tau for each game of a batch, starting at `tau`: it shrinks while Newton's method
    converges fast, grows when that is slow, and a solve that fails is given up and tried again from the reference with
    a larger one.
    """

    tau: float
    accept: float


@dataclass(frozen=True, slots=True)
class CentralStep(ExactOnly):
    """policy <- the next point near the central path of the original game; see games/central_path.py.

    The interpreter keeps the point and its slacks for each game; it starts halfway between the policy and the uniform
    one. A policy that polishing or a linear program made better than any such point stays.
    """


@dataclass(frozen=True, slots=True)
class Polish(ExactOnly):
    """policy <- the solution of the linear equations on its support, where that solves the original game.

    The support is guessed as {y : policy(y) > 1/2 - P(y > policy)}: the answers whose probability exceeds their slack.
    Elsewhere the policy stays unchanged.
    """


@dataclass(frozen=True, slots=True)
class SolveLP(ExactOnly):
    """policy <- a Nash policy of the original game by linear programming, where better than the policy."""


Step: TypeAlias = ProxStep | PlayOnline
"""What a recipe's `steps` counts: on language models each of these writes a checkpoint."""
Instruction: TypeAlias = Step | Copy | Certify | ExactOnly


@dataclass(frozen=True, slots=True)
class Report:
    """What an interpreter tells the program of the instruction it has just carried out; None where not measured.

    KLs are in nats. Over a batch of games (exact) the worst is reported, over prompts (LLM) the mean; the two KLs of a
    `Certify` are always one game's, the one furthest from solved.

    Attributes:
        kl_moved: KL(out || what the policy was before).
        kl_reference: KL(policy || reference).
        kl_best_response: KL(p || BR(p)) of the regularised game, from `Certify`.
        kl_best_response_stderr: standard error of `kl_best_response`, where it is an estimate.
        win_rate_previous: P(out > what the policy was before).
        duality_gap: of the unregularised game, where it is known exactly.
        iterations: of an inner exact solve.
    """

    kl_moved: float | None = None
    kl_reference: float | None = None
    kl_best_response: float | None = None
    win_rate_previous: float | None = None
    duality_gap: float | None = None
    iterations: int | None = None
    kl_best_response_stderr: float | None = None


Program: TypeAlias = Generator[Instruction, Report, None]


class Algorithm(ABC):
    """A frozen dataclass of hyper-parameters with a program. One file each, found by its name."""

    __slots__ = ()

    @abstractmethod
    def program(self) -> Program:
        """The instructions, for ever; each `yield` returns the `Report` of that instruction."""


class Regularised(Algorithm):
    """An algorithm whose iterate "policy" approaches the Nash policy of the game tau-regularised to "reference".

    Its program never writes "reference", so COMAL can run it as the inner solver.
    """

    __slots__ = ()

    tau: float


@dataclass(frozen=True, slots=True)
class SelfPlay(Algorithm):
    """An algorithm that plays against itself, with a step size and no regularisation.

    Attributes:
        eta: step size.

    Raises:
        ValueError: unless eta > 0.
    """

    eta: float

    def __post_init__(self) -> None:
        require_positive(eta=self.eta)


def magnetic(eta: float, tau: float) -> tuple[Mix, float]:
    """Anchor and step size of  argmax_pi  eta (<pi, w> - tau KL(pi || reference)) - KL(pi || policy).

    Divided by 1 + eta tau this is a proximal step, however large eta is.
    """
    whole = 1 + eta * tau
    return Mix({REFERENCE: eta * tau / whole, POLICY: 1 / whole}), eta / whole


def require_positive(**values: float) -> None:
    """Raise ValueError unless every value and its inverse are finite and above 0."""
    for name, value in values.items():
        if not (isfinite(value) and value > 0 and isfinite(1 / value)):
            raise ValueError(f"need {name} > 0, got {value}")


def require_step(eta: float, tau: float) -> None:
    """Raise ValueError unless eta, tau > 0 and the reference's weight eta·tau is at most 1."""
    require_positive(eta=eta, tau=tau)
    if eta * tau > 1 + 1e-12:
        raise ValueError(f"need 0 < eta·tau ≤ 1, got {eta:g} × {tau:g}; eta is a step size (the INPO paper's 1/eta)")
