"""The sampled interpreter: policies are log-probability vectors, payoffs are estimated from single comparisons.

It never sees the preference table, only answers of `Comparisons`, as an interpreter on language models only sees
verdicts. Everything is a batch of independent runs, (R, n); each run may be at a place of its own in its program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from comal.algorithms.base import (
    INITIAL_ROLES,
    POLICY,
    BradleyTerryStep,
    Certify,
    Copy,
    ExactOnly,
    FixedPartitionStep,
    ForwardKLStep,
    InformedProxStep,
    Instruction,
    Mix,
    PlayOnline,
    ProxStep,
    Report,
    Role,
    StackelbergStep,
)
from comal.errors import ConfigError, GameError
from comal.games.comparisons import Comparisons
from comal.games.game import Floats
from comal.games.measures import kl, log_normalise
from comal.games.record import Record
from comal.games.steps.bradley_terry import scores_of_wins
from comal.games.steps.fixed_partition import fixed_partition_step
from comal.games.steps.forward_kl import forward_kl_step

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a sampled step asks and estimates.

    Attributes:
        comparisons: asked by every proximal step, whichever role it writes.
        reuse: estimate from all comparisons so far (a running table with counts, which also makes certificates free);
            without it each step weighs its own comparisons by importance, and a certificate asks its own.
        explore: share of the judged answers that are drawn from the initial policy instead of the opponent.
        prior: pseudo-comparisons of every pair, half of them won.
        certificate: comparisons that a certificate asks for without reuse.
        choose: whether every proximal step on a record chooses its comparisons, or only those that say so.

    Raises:
        ValueError: counts below 1, a share outside [0, 1) or a prior that is not positive.
    """

    comparisons: int = 10
    reuse: bool = True
    explore: float = 0.5
    prior: float = 1.0
    certificate: int = 200
    choose: bool = False

    def __post_init__(self) -> None:
        if self.comparisons < 1 or self.certificate < 2:
            raise ValueError(f"need comparisons ≥ 1 and certificate ≥ 2, got {self.comparisons} and {self.certificate}")
        if not 0 <= self.explore < 1:
            raise ValueError(f"need 0 ≤ explore < 1, got {self.explore}")
        if not (np.isfinite(self.prior) and self.prior > 0):
            raise ValueError(f"need prior > 0, got {self.prior}")


@dataclass(frozen=True, slots=True, eq=False)
class _Draw:
    """Comparisons of one step with one opponent: who met whom, who won, and how likely `first` was drawn, (R, M)."""

    first: Rows
    second: Rows
    won: NDArray[np.bool_]
    chance: Floats


class SampledBackend:
    """Carries instructions out on every run of a batch, or on some of them.

    Args:
        oracle: answers comparisons and counts them.
        start: initial policy, (n,) or (runs, n); uniform unless given. It must have every answer in its support.
        sampling: how steps ask and estimate.
        seed: of the answers drawn; the oracle's coins have their own.

    Raises:
        GameError: a start that is no policy with full support.
    """

    def __init__(
        self, oracle: Comparisons, sampling: Sampling, start: Floats | None = None, seed: int | Sequence[int] = 0
    ) -> None:
        self.oracle = oracle
        self.sampling = sampling
        self.record = Record(oracle.runs, oracle.n, sampling.prior)
        self._initial = _log_start(start, oracle.runs, oracle.n)
        self._roles: dict[Role, Floats] = {role: self._initial.copy() for role in INITIAL_ROLES}
        self._draws = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
        self._everyone: Rows = np.arange(oracle.runs)

    def log_policy(self, role: Role = POLICY) -> Floats:
        """Log-probabilities of a named policy, (runs, n)."""
        return self._role(role, self._everyone)

    # The engine's side

    def execute(self, index: int, instruction: Instruction) -> Report:
        """Carry an instruction out on all runs; of several, the report of the one furthest from solved."""
        del index
        reports = self.execute_on(self._everyone, instruction)
        return max(reports, key=_remoteness)

    def replay(self, index: int, instruction: Instruction, report: Report) -> None:
        """Sampled instructions are carried out again: the same seeds give the same comparisons."""
        del report
        self.execute(index, instruction)

    def execute_on(self, runs: Rows, instruction: Instruction) -> list[Report]:
        """Carry an instruction out on some runs, each at most once; a report each.

        Raises:
            ConfigError: an instruction that needs the whole table, or a policy used before it was written.
        """
        match instruction:
            case StackelbergStep():
                raise ConfigError(
                    "algorithm",
                    "its program asks how an answer fares against each other one, which single comparisons of answers "
                    "drawn from policies do not tell; take the game's table (`comal solve`), or another algorithm",
                )
            case ProxStep():
                return self._prox(runs, instruction)
            case PlayOnline():
                return [self._prox(runs, instruction.natural_step) for _ in range(instruction.updates)][-1]
            case Copy():
                self._write(runs, instruction.out, self._role(instruction.src, runs))
                return [Report()] * len(runs)
            case Certify():
                return self._certify(runs, instruction)
            case ExactOnly():
                raise ConfigError(
                    "algorithm",
                    f"its program needs the whole preference table ({type(instruction).__name__}), of which a sampled "
                    "game shows single comparisons only; `comal_sampled` needs no table and no settings",
                )

    # One method an instruction

    def _prox(self, runs: Rows, step: ProxStep) -> list[Report]:
        anchor = self._mix(step.anchor, runs)
        payoff = np.zeros_like(anchor)
        terms = step.opponent.terms
        shares = _shares(self.sampling.comparisons, [weight for weight, _ in terms])
        opponents = [np.exp(self._mix(mix, runs)) for _, mix in terms]
        informed = self.sampling.reuse and (self.sampling.choose or isinstance(step, InformedProxStep))
        ask = self._ask_informed if informed else self._ask
        draws = [
            ask(runs, self._explored(runs, opponent), opponent, share)
            for opponent, share in zip(opponents, shares, strict=True)
            if share
        ]
        if self.sampling.reuse:
            for draw in draws:
                self.record.add(runs, draw.first, draw.second, draw.won)
        if isinstance(step, BradleyTerryStep):
            payoff = scores_of_wins(self._wins(runs, draws))
        elif self.sampling.reuse:
            signed = sum(weight * p for (weight, _), p in zip(terms, opponents, strict=True))
            payoff = self.record.payoff(runs, np.asarray(signed))
        else:
            for (weight, _), draw in zip(terms, draws, strict=True):
                payoff = payoff + weight * _importance_weighted(draw, self.oracle.n)
        if isinstance(step, FixedPartitionStep):
            log_p = fixed_partition_step(anchor, step.eta * payoff)
        elif isinstance(step, ForwardKLStep):
            log_p = forward_kl_step(anchor, step.eta * payoff, self._role(step.covered, runs), step.forward)
        else:
            log_p = log_normalise(anchor + step.eta * payoff)
        self._write(runs, step.out, log_p)
        return [Report()] * len(runs)

    def _certify(self, runs: Rows, instruction: Certify) -> list[Report]:
        """KL(p || BR(p)) = KL(p || ref) + log E_{y ~ ref} exp((P(y > p) - 1/2) / tau), from estimates.

        Two biases oppose each other. An estimate of P independent of p is noise under an exponential: the plug-in is
        too large by b = tr(H Cov)/2 with H = (diag BR - BR BRᵀ)/tau². A p fitted to the very comparisons that now
        judge it has taken that noise for payoff: the plug-in is too small by b. Without reuse the comparisons are fresh
        and b is subtracted, with reuse they are not and b is added.
        """
        tau = instruction.tau
        log_p, log_reference = self._role(instruction.policy, runs), self._role(instruction.reference, runs)
        p, reference = np.exp(log_p), np.exp(log_reference)
        if self.sampling.reuse:
            payoff = self.record.payoff(runs, p)
        else:
            draw = self._ask(runs, reference, p, self.sampling.certificate)
            payoff = _importance_weighted(draw, self.oracle.n)
        weighted = log_reference + payoff / tau
        peak = weighted.max(axis=-1, keepdims=True)
        log_partition = peak[:, 0] + np.log(np.exp(weighted - peak).sum(axis=-1))
        away = kl(log_p, log_reference)
        response = np.exp(weighted - log_partition[:, None])
        if self.sampling.reuse:
            bias, stderr = _record_error(self.record.variance(runs), p, response, tau)
            estimate = away + log_partition + bias
        else:
            bias, stderr = _fresh_error(draw, payoff, response, tau)
            estimate = away + log_partition - bias
        return [
            Report(kl_reference=a, kl_best_response=e, kl_best_response_stderr=s)
            for a, e, s in zip(away.tolist(), estimate.tolist(), stderr.tolist(), strict=True)
        ]

    # Helpers

    def _role(self, role: Role, runs: Rows) -> Floats:
        if role not in self._roles:
            raise ConfigError("algorithm", f"the program uses the policy `{role}` before writing it")
        return self._roles[role][runs]

    def _write(self, runs: Rows, role: Role, log_p: Floats) -> None:
        if role not in self._roles:
            self._roles[role] = self._roles[POLICY].copy()
        self._roles[role][runs] = log_p

    def _mix(self, mix: Mix, runs: Rows) -> Floats:
        role = mix.only_role
        if role is not None:
            return self._role(role, runs)
        return log_normalise(
            np.asarray(sum(weight * self._role(name, runs) for name, weight in mix.weights.items()))
        )  # fmt: skip

    def _explored(self, runs: Rows, opponent: Floats) -> Floats:
        explore = self.sampling.explore
        return (1 - explore) * opponent + explore * np.exp(self._initial[runs])

    def _ask(self, runs: Rows, sampler: Floats, opponent: Floats, count: int) -> _Draw:
        first, second = self._draw(sampler, count), self._draw(opponent, count)
        return _Draw(first, second, self.oracle.ask(runs, first, second), np.take_along_axis(sampler, first, axis=1))

    def _ask_informed(self, runs: Rows, sampler: Floats, opponent: Floats, count: int) -> _Draw:
        """Pairs drawn in proportion to the variance that they leave in the payoffs.

        With q the opponent, the payoff of i has the variance sum_j q_j² Var P̂_ij, and it counts in the measure in which
        i is played: the pair's share is (s_i q_j + s_j q_i)² Var P̂_ij, s the policy that answers are drawn from. An
        answer is never asked against itself, whose variance is 0.
        """
        n = self.oracle.n
        met = sampler[:, :, None] * opponent[:, None, :]
        doubt = (met + np.swapaxes(met, 1, 2)) ** 2 * self.record.variance(runs)
        if n == 1 or not (doubt.sum(axis=(1, 2)) > 0).all():
            return self._ask(runs, sampler, opponent, count)
        pair = self._draw(doubt.reshape(len(runs), n * n), count)
        first, second = np.divmod(pair, n)
        return _Draw(first, second, self.oracle.ask(runs, first, second), np.full(first.shape, np.nan))

    def _draw(self, p: Floats, count: int) -> Rows:
        """Answers drawn from each row of p, (R, count)."""
        upper = np.cumsum(p, axis=1)[:, None, :-1]
        drawn: Rows = (self._draws.random((len(p), count, 1)) * p.sum(axis=1)[:, None, None] >= upper).sum(axis=-1)
        return drawn

    def _wins(self, runs: Rows, draws: list[_Draw]) -> Floats:
        """Wins to fit scores to: the record or the step's own, with the prior on every pair, (R, n, n)."""
        if self.sampling.reuse:
            return self.record.wins[runs] + self.sampling.prior / 2
        own = Record(len(runs), self.oracle.n, self.sampling.prior)
        for draw in draws:
            own.add(np.arange(len(runs)), draw.first, draw.second, draw.won)
        return own.wins + self.sampling.prior / 2


def _importance_weighted(draw: _Draw, n: int) -> Floats:
    """Unbiased estimate of P(y > opponent) − ½: the mean of 1[first = y] (won − ½) / chance(y), (R, n)."""
    value = (draw.won - 0.5) / draw.chance / draw.first.shape[1]
    total = np.zeros((len(value), n))
    np.add.at(total, (np.repeat(np.arange(len(value)), value.shape[1]), draw.first.ravel()), value.ravel())
    return total


def _record_error(variance: Floats, p: Floats, response: Floats, tau: float) -> tuple[Floats, Floats]:
    """Bias b and standard error of the certificate on a record; both readings of a pair are one datum."""
    of_payoff = (variance @ (p * p)[..., None])[..., 0]
    # the cells that BR meets in BRᵀ (P̂ − P) p: (y, z) and (z, y) are the same number with opposite signs
    meets = response[:, :, None] * p[:, None, :]
    first_order = ((meets - np.swapaxes(meets, -1, -2)) ** 2 * variance).sum(axis=(-1, -2)) / 2
    bias: Floats = ((response * of_payoff).sum(axis=-1) - first_order) / (2 * tau * tau)
    stderr: Floats = np.sqrt(first_order) / tau
    return bias, stderr


def _fresh_error(draw: _Draw, payoff: Floats, response: Floats, tau: float) -> tuple[Floats, Floats]:
    """Bias b and standard error of the certificate on fresh comparisons, by the delta method."""
    count = draw.first.shape[1]
    value = (draw.won - 0.5) / draw.chance
    weight = np.take_along_axis(response, draw.first, axis=1)
    # the estimate of answer y has second moment E[1[first = y] value²]; payoff² is what M of them leave of the mean
    per_answer = (weight * value * value).sum(axis=1) / count - (response * payoff * payoff).sum(axis=1)
    along = (weight * value).var(axis=1, ddof=1)
    bias: Floats = (per_answer - along) / (2 * count * tau * tau)
    stderr: Floats = np.sqrt(along / count) / tau
    return bias, stderr


def _shares(count: int, weights: list[float]) -> list[int]:
    """Comparisons of each opponent of a signed combination, in proportion to |weight|, at least one each."""
    if count < len(weights):
        raise ConfigError("comparisons", f"a step has {len(weights)} opponents, so it needs at least as many")
    size = np.abs(weights)
    ends = np.round(np.cumsum(size) / size.sum() * count).astype(int)
    shares = np.maximum(np.diff(ends, prepend=0), 1)
    shares[shares.argmax()] += count - shares.sum()
    return [int(share) for share in shares]


def _remoteness(report: Report) -> float:
    if report.kl_best_response is None or report.kl_reference is None:
        return 0.0
    return report.kl_best_response - report.kl_reference


def _log_start(start: Floats | None, runs: int, n: int) -> Floats:
    if start is None:
        return np.full((runs, n), -np.log(n))
    p = np.asarray(start, dtype=np.float64)
    if p.shape not in ((n,), (runs, n)):
        raise GameError("start", f"need one probability for each of the {n} answers, got shape {p.shape}")
    if not (np.isfinite(p).all() and (p > 0).all() and np.allclose(p.sum(axis=-1), 1.0, atol=1e-6)):
        raise GameError("start", f"need positive probabilities that sum to 1, got {np.array2string(p, threshold=8)}")
    return log_normalise(np.broadcast_to(np.log(p), (runs, n)).copy())
