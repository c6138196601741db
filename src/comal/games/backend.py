"""The exact interpreter: policies are log-probability vectors, instructions are carried out in closed form.

Everything is a batch, (B, n) for policies and (B, n, n) for games; one game is a batch of one. Games that are done can
be retired, so that the others do not wait for them. Where payoffs come from, a preference table or a population that is
shown k answers, is `payoffs.py`'s; instructions that solve linear equations want a table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from comal.algorithms.base import (
    CERTIFICATE_ROUNDING,
    INITIAL_ROLES,
    POLICY,
    REFERENCE,
    TARGET,
    BradleyTerryStep,
    CentralStep,
    Certify,
    Copy,
    FixedPartitionStep,
    ForwardKLStep,
    Instruction,
    Mix,
    Opponents,
    PlayOnline,
    Polish,
    ProximalPoint,
    ProxStep,
    Report,
    Role,
    SolveLP,
    SolveRegularised,
    StackelbergStep,
)
from comal.errors import ConfigError, GameError
from comal.games.central_path import CentralPoint, central_start, central_step
from comal.games.game import Floats
from comal.games.measures import kl, log_normalise
from comal.games.nash import solve_lp
from comal.games.newton import RegularisedSolution, polish, solve_regularised, solve_regularised_from_afar
from comal.games.payoffs import Game, TablePayoffs, payoffs_of
from comal.games.steps.bradley_terry import bradley_terry_scores
from comal.games.steps.fixed_partition import fixed_partition_step
from comal.games.steps.forward_kl import forward_kl_step
from comal.games.steps.stackelberg import worth_against_replies

# How the automatic path adapts tau, chosen on 246 random games of 4 to 200 answers.
_FAST, _BRISK, _SLOW = 2, 5, 10  # linear solves of one outer step
_AFTER_FAST, _AFTER_BRISK, _AFTER_SLOW, _AFTER_FAILURE = 1 / 8, 1 / 2, 2.0, 4.0
_SMALLEST_TAU = 1e-12  # relative to the largest payoff
_HOPEFUL = (
    8.0  # relative gap, times the square of the number of answers, above which a support is hardly ever guessed right
)
_POLISHED = (
    1e-10  # relative gap at which the linear equations have found the Nash policy and not merely something better
)


@dataclass(slots=True)
class _Policy:
    """A named policy: its log-probabilities and, once asked for, the payoffs against it."""

    log_p: Floats
    payoff: Floats | None = None


class ExactBackend:
    """Carries instructions out on one game or on a batch of games of one size.

    Attributes:
        products: matrix-vector products made so far, those that measure the gap included; a product with every game of
            a batch counts once, and one policy's product is made once however often it is used.
        linear_solves: of Newton's method and along the central path, of the game that needed most.
        lp_solves: linear programs solved.

    Args:
        game: one game or a batch; a population plays the game of as many answers as it is shown.
        start: the initial policy, (n,) or (B, n); uniform unless given.
        target: the policy that a best response is sought to, where it is not the initial one.
        arrives: the share of every proximal step that is taken, as of one that training fits only in part: the policy
            goes so much of the way, in log-probabilities, from what it is to what the step asks.

    Raises:
        GameError: a start or target that is not a policy over the game's answers; no share above 0 and up to 1.
    """

    def __init__(
        self, game: Game, start: Floats | None = None, target: Floats | None = None, arrives: float = 1.0
    ) -> None:
        if not 0 < arrives <= 1:
            raise GameError("arrives", f"need a share above 0, and 1 at most, got {arrives}")
        self._arrives = arrives
        self._payoffs = payoffs_of(game)
        count = game.batch or 1
        log_start = _log_policy(start, game, "start")
        given = dict.fromkeys(INITIAL_ROLES, log_start)
        if target is not None:
            given[TARGET] = _log_policy(target, game, "target")
        self._roles = {role: _Policy(np.tile(log_p, (count, 1)) if log_p.ndim == 1 else log_p.copy())
                       for role, log_p in given.items()}  # fmt: skip
        self._tau: Floats | None = None
        self._central: CentralPoint | None = None
        self._open: NDArray[np.intp] = np.arange(count)
        self._final_policy = np.empty((count, game.n))
        self._final_gap = np.empty(count)
        self.products = 0
        self.linear_solves = 0
        self.lp_solves = 0

    # What it holds

    @property
    def open_games(self) -> NDArray[np.intp]:
        """Indices of the games not retired."""
        return self._open

    def log_policy(self, role: Role = POLICY) -> Floats:
        """Log-probabilities of a named policy in the open games, (open games, n)."""
        return self._role(role).log_p

    def policies(self) -> Floats:
        """The policy of every game, retired ones as they were when retired, (B, n)."""
        everything = self._final_policy.copy()
        everything[self._open] = np.exp(self.log_policy())
        return everything

    def gaps(self) -> Floats:
        """Duality gaps of "policy" in the open games; costs a product unless the payoff is known already."""
        return self._payoffs.gaps(self._payoff(POLICY))

    def all_gaps(self) -> Floats:
        """Duality gaps of every game, (B,)."""
        everything = self._final_gap.copy()
        if len(self._open):
            everything[self._open] = self.gaps()
        return everything

    def retire(self, done: NDArray[np.bool_]) -> None:
        """Take the games marked in `done` (open games,) out of what follows; their policies stay as they are."""
        if not done.any():
            return
        gone, keep = self._open[done], ~done
        self._final_policy[gone] = np.exp(self.log_policy()[done])
        self._final_gap[gone] = self.gaps()[done]
        self._open = self._open[keep]
        self._payoffs = self._payoffs.kept(keep)
        self._tau = None if self._tau is None else self._tau[keep]
        self._central = None if self._central is None else self._central.of(keep)
        for policy in self._roles.values():
            policy.log_p = policy.log_p[keep]
            policy.payoff = None if policy.payoff is None else policy.payoff[keep]

    # The engine's side

    def execute(self, index: int, instruction: Instruction) -> Report:
        """Carry out one instruction; see `comal.engine.Backend`."""
        del index
        match instruction:
            case ProxStep():
                return self._prox(instruction)
            case PlayOnline():
                return [self._prox(instruction.natural_step) for _ in range(instruction.updates)][-1]
            case Copy():
                source = self._role(instruction.src)
                self._roles[instruction.out] = _Policy(source.log_p, source.payoff)
                return Report()
            case Certify():
                return self._certify(instruction)
            case SolveRegularised():
                return self._solve_regularised(instruction)
            case ProximalPoint():
                return self._proximal_point(instruction)
            case CentralStep():
                return self._central_step()
            case Polish():
                return self._polish()
            case SolveLP():
                return self._solve_lp()
            case _:
                raise ConfigError(
                    "algorithm", f"the exact interpreter does not know the instruction {type(instruction).__name__}"
                )

    def replay(self, index: int, instruction: Instruction, report: Report) -> None:
        """Exact instructions are carried out again rather than stored."""
        del report
        self.execute(index, instruction)

    # One method an instruction

    def _prox(self, step: ProxStep) -> Report:
        """Out ∝ anchor · exp(eta payoff); win rates differ from it by a constant, which normalisation takes away."""
        anchor = self._mix(step.anchor)
        if isinstance(step, BradleyTerryStep):
            opponent = sum(weight * np.exp(self._mix(mix)) for weight, mix in step.opponent.terms)
            self.products += 1
            scores = bradley_terry_scores(self._table(step).A + 0.5, np.asarray(opponent))
            return self._arrive(step, log_normalise(anchor + step.eta * scores))
        if isinstance(step, StackelbergStep):
            return self._arrive(step, log_normalise(anchor + step.eta * self._worth_against_replies(step)))
        payoff = self._payoff_of(step.opponent)
        if isinstance(step, FixedPartitionStep):
            log_p = fixed_partition_step(anchor, step.eta * payoff)
        elif isinstance(step, ForwardKLStep):
            log_p = forward_kl_step(anchor, step.eta * payoff, self._role(step.covered).log_p, step.forward)
        else:
            log_p = log_normalise(anchor + step.eta * payoff)
        return self._arrive(step, log_p)

    def _arrive(self, step: ProxStep, asked: Floats) -> Report:
        """Write what of a step arrives; whatever policy it is for, training begins at the current one."""
        if self._arrives == 1:
            return self._write(step.out, asked)
        now = self._role(POLICY).log_p
        absent = np.isneginf(asked) | np.isneginf(now)
        with np.errstate(invalid="ignore"):
            part = (1 - self._arrives) * now + self._arrives * asked
        return self._write(step.out, log_normalise(np.where(absent, -np.inf, part)))

    def _certify(self, instruction: Certify) -> Report:
        policy = self._role(instruction.policy)
        reference = self._role(instruction.reference)
        payoff = self._payoff(instruction.policy)
        response = log_normalise(reference.log_p + payoff / instruction.tau)
        return _worst_certificate(kl(policy.log_p, response), kl(policy.log_p, reference.log_p))

    def _solve_regularised(self, instruction: SolveRegularised) -> Report:
        A = self._table(instruction).A
        reference = self._role(REFERENCE).log_p
        tau = np.full(len(reference), instruction.tau)
        found = solve_regularised(A, reference, self._newton_start(), tau, instruction.accept)
        self._count(found)
        for i in np.flatnonzero(~found.solved):
            game = slice(i, i + 1)
            again = solve_regularised_from_afar(A[game], reference[game], instruction.tau, instruction.accept)
            self._count(again)
            found.log_policy[game], found.payoff[game] = again.log_policy, again.payoff
            found.kl_best_response[game], found.kl_reference[game] = again.kl_best_response, again.kl_reference
            found.iterations[game] += again.iterations
        self._write(POLICY, found.log_policy, found.payoff)
        return _worst_certificate(found.kl_best_response, found.kl_reference, int(found.iterations.max(initial=0)))

    def _proximal_point(self, instruction: ProximalPoint) -> Report:
        table = self._table(instruction)
        reference = self._role(REFERENCE).log_p
        if self._tau is None:
            self._tau = np.full(len(reference), instruction.tau)
        found = solve_regularised(table.A, reference, self._newton_start(), self._tau, instruction.accept)
        self._count(found)
        solved = found.solved[:, None]
        log_policy = np.where(solved, found.log_policy, reference)
        if found.solved.all():
            self._write(POLICY, log_policy, found.payoff)
        else:
            self._write(POLICY, log_policy)
        self._roles[REFERENCE] = _Policy(np.where(solved, found.log_best_response, reference))
        factor = np.select(
            [~found.solved, found.iterations <= _FAST, found.iterations <= _BRISK, found.iterations > _SLOW],
            [_AFTER_FAILURE, _AFTER_FAST, _AFTER_BRISK, _AFTER_SLOW],
            1.0,
        )
        self._tau = np.maximum(self._tau * factor, _SMALLEST_TAU * np.maximum(table.scale, _SMALLEST_TAU))
        return Report(duality_gap=self._worst_gap(), iterations=int(found.iterations.max(initial=0)))

    def _central_step(self) -> Report:
        if self._central is None:
            self._central = central_start(self._payoffs, np.exp(self.log_policy()))
            self.products += 1
        self._central = central_step(self._payoffs, self._central)
        self.products += 1
        self.linear_solves += 1
        log_p, payoff = np.log(self._central.policy), self._central.payoff
        solved = self.gaps() <= _POLISHED * self._payoffs.scale
        if solved.any():
            kept = (solved & (self.gaps() <= self._payoffs.gaps(payoff)))[:, None]
            log_p, payoff = np.where(kept, self.log_policy(), log_p), np.where(kept, self._payoff(POLICY), payoff)
        return self._write(POLICY, log_p, payoff)

    def _polish(self) -> Report:
        table = self._payoffs
        if not isinstance(table, TablePayoffs):  # its equations are not linear
            return Report(duality_gap=self._worst_gap())
        hopeful = np.flatnonzero(self.gaps() <= _HOPEFUL / table.numbers * table.scale)
        candidates = polish(table.A, np.exp(self.log_policy()), self._payoff(POLICY), hopeful)
        return self._adopt(candidates, _POLISHED * table.scale, beaten=_POLISHED * table.scale)

    def _solve_lp(self) -> Report:
        table = self._payoffs
        if not isinstance(table, TablePayoffs):
            return Report(duality_gap=self._worst_gap())
        candidates = np.stack([solve_lp(A) for A in table.A])
        self.lp_solves += len(candidates)
        return self._adopt(candidates, np.full(len(candidates), np.inf))

    # Helpers

    def _table(self, instruction: Instruction) -> TablePayoffs:
        if not isinstance(self._payoffs, TablePayoffs):
            raise ConfigError(
                "algorithm",
                f"its program needs a preference table ({type(instruction).__name__}), which a population that is "
                "shown several answers has not; take none, or `comal` with an inner algorithm, such as "
                "inner.name=inpo inner.eta=1 inner.tau=0.1",
            )
        return self._payoffs

    def _role(self, role: Role) -> _Policy:
        if role not in self._roles:
            raise ConfigError("algorithm", f"the program uses the policy `{role}` before writing it")
        return self._roles[role]

    def _payoff(self, role: Role) -> Floats:
        policy = self._role(role)
        if policy.payoff is None:
            policy.payoff = self._product(np.exp(policy.log_p))
        return policy.payoff

    def _payoff_of(self, opponents: Opponents) -> Floats:
        total: Floats | float = 0.0
        for weight, mix in opponents.terms:
            role = mix.only_role
            total = total + weight * (self._product(np.exp(self._mix(mix))) if role is None else self._payoff(role))
        return np.asarray(total)

    def _worth_against_replies(self, step: StackelbergStep) -> Floats:
        """Replies are to answers, not to policies, so several opponents are taken one by one."""
        self.products += len(step.opponent.terms)
        P = self._table(step).A + 0.5
        worth = (
            weight * worth_against_replies(P, self._mix(mix), step.follower_tau) for weight, mix in step.opponent.terms
        )
        return np.asarray(sum(worth))

    def _product(self, p: Floats) -> Floats:
        self.products += 1
        return self._payoffs.against(p)

    def _mix(self, mix: Mix) -> Floats:
        role = mix.only_role
        if role is not None:
            return self._role(role).log_p
        total = np.zeros_like(self.log_policy())
        absent = np.zeros(total.shape, dtype=np.bool_)
        for name, weight in mix.weights.items():
            log_p = self._role(name).log_p
            with np.errstate(invalid="ignore"):
                total = total + weight * log_p
            if weight > 0:
                absent |= np.isneginf(log_p)
        return log_normalise(np.where(absent, -np.inf, total))

    def _write(self, role: Role, log_p: Floats, payoff: Floats | None = None) -> Report:
        before = self._roles.get(role)
        self._roles[role] = _Policy(log_p, payoff)
        if role != POLICY:
            return Report()
        assert before is not None
        return Report(
            kl_moved=float(kl(log_p, before.log_p).max(initial=0.0)),
            kl_reference=float(kl(log_p, self._role(REFERENCE).log_p).max(initial=0.0)),
            win_rate_previous=None
            if before.payoff is None
            else float((self._payoffs.even + (np.exp(log_p) * before.payoff).sum(axis=-1)).min(initial=1.0)),
            duality_gap=self._worst_gap(),
        )

    def _adopt(self, candidates: Floats, within: Floats, beaten: Floats | None = None) -> Report:
        """Take candidates (NaN rows: none) whose gap is below the policy's and at most `within`.

        With `beaten`, only those that beat all they leave out by as much: of two equal answers none is left out.
        """
        present = ~np.isnan(candidates).any(axis=1)
        if present.any():
            payoff = self._product(np.where(present.reshape(-1, 1), candidates, 0.0))
            gap = self._payoffs.gaps(payoff)
            taken = present & (gap < self.gaps()) & (gap <= within)
            if beaten is not None:
                taken &= ((candidates != 0) | (payoff < -beaten[:, None])).all(axis=1)
            take = taken[:, None]
            if take.any():
                policy = self._role(POLICY)
                with np.errstate(divide="ignore"):
                    policy.log_p = np.where(take, np.log(candidates), policy.log_p)
                policy.payoff = np.where(take, payoff, self._payoff(POLICY))
        return Report(duality_gap=self._worst_gap())

    def _newton_start(self) -> Floats:
        """The policy, or the reference where a polished policy gave up answers that the reference still has."""
        policy, reference = self.log_policy(), self.log_policy(REFERENCE)
        lost = (np.isneginf(policy) != np.isneginf(reference)).any(axis=1, keepdims=True)
        return np.where(lost, reference, policy)

    def _count(self, found: RegularisedSolution) -> None:
        self.products += found.products
        self.linear_solves += int(found.iterations.max(initial=0))

    def _worst_gap(self) -> float:
        return float(self.gaps().max(initial=0.0))


def _worst_certificate(kl_response: Floats, kl_reference: Floats, iterations: int | None = None) -> Report:
    """The two KLs of the game furthest from solved."""
    if not len(kl_response):
        return Report(kl_best_response=0.0, kl_reference=0.0, iterations=iterations)
    worst = int(((kl_response + CERTIFICATE_ROUNDING) / (kl_reference + CERTIFICATE_ROUNDING)).argmax())
    return Report(
        kl_best_response=float(kl_response[worst]), kl_reference=float(kl_reference[worst]), iterations=iterations
    )


def _log_policy(start: Floats | None, game: Game, place: str) -> Floats:
    if start is None:
        return np.full(game.n, -np.log(game.n))
    p = np.asarray(start, dtype=np.float64)
    shapes = [(game.n,)] + ([(game.batch, game.n)] if game.batch is not None else [])
    if p.shape not in shapes:
        raise GameError(place, f"need one probability for each of the {game.n} answers, got shape {p.shape}")
    if not (np.isfinite(p).all() and (p >= 0).all() and np.allclose(p.sum(axis=-1), 1.0, atol=1e-6)):
        raise GameError(place, f"need probabilities that sum to 1, got {np.array2string(p, threshold=8)}")
    with np.errstate(divide="ignore"):
        return log_normalise(np.log(p))
