"""COMAL: the exact Nash policy by solving regularised games one after another (Liu et al. 2024, arXiv 2410.23223).

    pi_{t+1} = Nash policy of  P(pi > pi') - tau KL(pi || pi_t) + tau KL(pi' || pi_t)

for any tau > 0, which need not decay: KL(pi* || pi_t) never increases and the last iterate converges to a Nash policy
of the original game, if the initial policy has one in its support (their Algorithm 1 and Theorem 1). Inner games may be
solved approximately (their Theorem 3 asks for enough progress in each; the rule here is ours). With
BR(p) ∝ pi_t · exp(P(. > p) / tau), accept p as soon as

    KL(p || BR(p)) ≤ sigma · KL(p || pi_t),   then   pi_{t+1} = BR(p)

and whatever solver found p,

    KL(pi* || pi_{t+1}) ≤ KL(pi* || pi_t) - (1 - sigma) KL(p || pi_t)

because KL(pi* || pi_t) - KL(pi* || BR(p)) = <pi*, A p> / tau - log Z with <pi*, A p> ≥ 0 and
log Z = KL(p || BR(p)) - KL(p || pi_t).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from comal.algorithms.base import (
    CERTIFICATE_ROUNDING,
    POLICY,
    REFERENCE,
    Algorithm,
    Certify,
    Copy,
    Instruction,
    Polish,
    Program,
    ProximalPoint,
    ProxStep,
    Regularised,
    Report,
    SolveLP,
    SolveRegularised,
    Step,
    against,
    only,
    require_positive,
)
from comal.errors import ConfigError

# Where the automatic path starts; it adapts within a few outer steps, whatever the size of the payoffs.
_FIRST_TAU = 0.1
_SIGMA = 0.5
_CONFIDENCE = 2.0  # standard errors by which a sampled certificate must pass
# The path solves nearly every game in a third of this; a few have a tail of thousands.
_LINEAR_SOLVES_BEFORE_LP = 300


@dataclass(frozen=True, slots=True)
class COMAL(Algorithm):
    """Solve the game regularised to the reference, move the reference to the solution, for ever.

    `COMAL()` needs no tuning and solves matrix games only: each inner game by Newton's method, tau adapted, each
    solution polished by linear equations, linear programming if all this takes long; `comal.games.solve` has a faster
    way. `COMAL(tau=...)` takes the outer steps of one tau, solved by Newton's method. `COMAL(inner=...)` runs on
    language models too.

    Attributes:
        tau: weight of the KL to the reference; with `inner` it is the inner algorithm's and may be left out.
        inner: the algorithm that solves the inner games by prox steps; None for Newton's method. Nash-MD, which rests
            beside their solutions, needs eta·tau < 1/2 (see there).
        inner_steps: prox steps an inner game; None lets the certificate decide, at one product a step.
        update: what the reference becomes: the best response to the policy, as the certificate's guarantee wants, or a
            copy of the policy, which is the same when the inner game is solved exactly and costs a language model no
            training.
        sigma: how strict the certificate is, between 0 and 1.

    Raises:
        ValueError: values that contradict each other.
    """

    tau: float | None = None
    inner: Regularised | None = None
    inner_steps: int | None = None
    update: Literal["best_response", "copy"] = "best_response"
    sigma: float = _SIGMA

    def __post_init__(self) -> None:
        if self.tau is not None:
            require_positive(tau=self.tau)
        if not 0 < self.sigma < 1:
            raise ValueError(f"need 0 < sigma < 1, got {self.sigma}")
        if self.update not in ("best_response", "copy"):
            raise ValueError(f"update is `best_response` or `copy`, got {self.update!r}")
        if self.inner is None:
            if self.inner_steps is not None:
                raise ValueError("inner_steps counts the prox steps of `inner`, which is missing; name it, e.g. inpo")
            if self.update == "copy" and self.tau is None:
                raise ValueError("update `copy` needs `inner` or `tau`; without them the step to take is automatic")
            return
        if not isinstance(self.inner, Regularised):
            raise ValueError(  # noqa: TRY004 - every bad combination of options is a ValueError
                f"`{type(self.inner).__name__}` solves no regularised game, so it cannot be `inner`"
            )
        if self.tau is not None and self.tau != self.inner.tau:
            raise ValueError(f"tau is {self.tau:g} but inner.tau is {self.inner.tau:g}; give it once, to `inner`")
        if self.inner_steps is not None and self.inner_steps < 1:
            raise ValueError(f"need inner_steps ≥ 1, got {self.inner_steps}")
        if self.inner_steps is not None and self.sigma != _SIGMA:
            raise ValueError("sigma belongs to the certificate, which a fixed number of inner_steps replaces; give one")

    def program(self) -> Program:
        """Inner solve, reference update, for ever."""
        if self.inner is not None:
            while True:
                yield from self._first_order(self.inner)
                yield self._move(self.inner.tau)
        elif self.tau is not None:
            while True:
                report = yield SolveRegularised(self.tau, self.sigma)
                if self.accepts(report):
                    yield self._move(self.tau)
        yield from self._automatic()

    def _first_order(self, inner: Regularised) -> Program:
        """The inner program, afresh, until its game counts as solved."""
        program = inner.program()
        instruction = next(program)
        steps = 0
        while True:
            report = yield instruction
            if isinstance(instruction, Step) and instruction.out == POLICY:
                steps += 1
                if steps == self.inner_steps:
                    return
                if self.inner_steps is None:
                    certificate = yield Certify(inner.tau)
                    if self.accepts(certificate):
                        return
            instruction = program.send(report)

    def _automatic(self) -> Program:
        linear_solves = 0
        while True:
            report = yield ProximalPoint(_FIRST_TAU, self.sigma)
            linear_solves += report.iterations or 0
            yield Polish()
            if linear_solves > _LINEAR_SOLVES_BEFORE_LP:
                yield SolveLP()
                linear_solves = 0

    def accepts(self, report: Report) -> bool:
        """Whether the certificate passes; one that is an estimate, by two standard errors.

        Raises:
            ConfigError: the interpreter does not measure certificates.
        """
        if report.kl_best_response is None or report.kl_reference is None:
            raise ConfigError(
                "algorithm.inner_steps", "the certificate is not measured here; give a number of inner steps"
            )
        doubt = _CONFIDENCE * (report.kl_best_response_stderr or 0.0)
        return report.kl_best_response + doubt <= self.sigma * report.kl_reference + CERTIFICATE_ROUNDING

    def _move(self, tau: float) -> Instruction:
        if self.update == "copy":
            return Copy(POLICY, REFERENCE)
        return ProxStep(only(REFERENCE), against(POLICY), 1 / tau, out=REFERENCE)
