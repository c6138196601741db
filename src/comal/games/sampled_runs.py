"""`run_sampled`: an algorithm on sampled games, many runs at once, until each has spent its comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from comal.algorithms.base import Algorithm, Certify, Instruction, PlayOnline, Program, Report, Step
from comal.errors import ConfigError, GameError
from comal.games.comparisons import Comparisons
from comal.games.game import Floats, PreferenceGame
from comal.games.measures import gap_of_payoff, product
from comal.games.sampled import Rows, SampledBackend, Sampling

_IDLE = 100  # instructions in a row that ask nothing: a program that has stopped spending


@dataclass(frozen=True, slots=True, eq=False)
class SampledRuns:
    """What `run_sampled` saw; the gaps are measured on the true game, which the runs themselves never see.

    Attributes:
        comparisons: spent at the marks, the same for every run, (T,).
        gaps: duality gap of the policy when a run had first spent that much, (runs, T); the first column is the start.
        policies: last iterates, (runs, n).
        asked: comparisons of each run in all, (runs,).
        prox_steps: proximal steps of each run, (runs,).
        moves: proximal steps into "reference" and copies to it, of each run, (runs,).
    """

    comparisons: NDArray[np.int64]
    gaps: Floats
    policies: Floats
    asked: NDArray[np.int64]
    prox_steps: NDArray[np.int64]
    moves: NDArray[np.int64]


def run_sampled(
    game: PreferenceGame,
    algorithm: Algorithm,
    sampling: Sampling | None = None,
    comparisons: int = 10_000,
    repeats: int = 1,
    start: Floats | None = None,
    seed: int | Sequence[int] = 0,
    marks: int = 50,
) -> SampledRuns:
    """Run `algorithm` until every run has spent exactly `comparisons`.

    Every run follows a program of its own; instructions that are equal are carried out together.

    Args:
        game: one game or a batch; its table answers comparisons and measures gaps, nothing else.
        algorithm: any whose program needs no whole table.
        sampling: how steps ask and estimate; `Sampling()` unless given.
        comparisons: to spend, a multiple of what a step asks.
        repeats: independent runs of each game.
        start: initial policy, (n,) or (runs, n), with full support; uniform unless given.
        seed: of everything random.
        marks: how many times to measure the gap, evenly spaced.

    Raises:
        ConfigError: an instruction that needs the whole table, or a program that asks nothing more.
        GameError: comparisons that are no multiple of a step's.
    """
    sampling = sampling or Sampling()
    if comparisons < sampling.comparisons or comparisons % sampling.comparisons:
        raise GameError("comparisons", f"need a multiple of {sampling.comparisons}, got {comparisons}")
    oracle = Comparisons(game, repeats, seed)
    backend = SampledBackend(oracle, sampling, start, seed)
    A = np.repeat(game.A if game.batch is not None else game.A[None], repeats, axis=0)
    at = np.unique(np.linspace(0, comparisons, min(marks, comparisons // sampling.comparisons) + 1).astype(np.int64))
    gaps = np.empty((oracle.runs, len(at)))
    gaps[:, 0] = gap_of_payoff(product(A, np.exp(backend.log_policy())))
    reached = np.ones(oracle.runs, dtype=np.intp)  # marks measured
    programs = _Programs(algorithm, oracle.runs)
    prox_steps, moves, idle = (np.zeros(oracle.runs, dtype=np.int64) for _ in range(3))
    finished = np.zeros(oracle.runs, dtype=np.bool_)
    active: NDArray[np.intp] = np.arange(oracle.runs)
    while len(active):
        spent = oracle.asked[active].copy()
        for runs, instruction in programs.waiting(active):
            if isinstance(instruction, Certify) and not sampling.reuse:
                # a certificate that no longer fits would spend more than the others
                fits = oracle.asked[runs] + sampling.certificate + sampling.comparisons <= comparisons
                if not fits.all():
                    finished[runs[~fits]] = True
                    runs = runs[fits]
                    if not len(runs):
                        continue
            reports = backend.execute_on(runs, instruction)
            if isinstance(instruction, Step):
                prox_steps[runs] += 1
            if getattr(instruction, "out", None) == "reference":
                moves[runs] += 1
            programs.send(runs, reports)
        idle[active] = np.where(oracle.asked[active] > spent, 0, idle[active] + 1)
        if idle.max() > _IDLE:
            raise ConfigError("algorithm", f"its program asked nothing for {_IDLE} instructions in a row")
        due = active[oracle.asked[active] >= at[np.minimum(reached[active], len(at) - 1)]]
        if len(due):
            now = gap_of_payoff(product(A[due], np.exp(backend.log_policy()[due])))
            for run, gap in zip(due.tolist(), now.tolist(), strict=True):
                first = int(reached[run])
                reached[run] = np.searchsorted(at, oracle.asked[run], side="right")
                gaps[run, first : reached[run]] = gap
        finished |= oracle.asked >= comparisons
        active = active[~finished[active]]
    return SampledRuns(at, gaps, np.exp(backend.log_policy()), oracle.asked, prox_steps, moves)


class _Programs:
    """A program a run. They are one until the first certificate: only its reports differ from run to run."""

    def __init__(self, algorithm: Algorithm, runs: int) -> None:
        self._algorithm = algorithm
        self._runs = runs
        self._sent = 0
        self._one: Program | None = _singly(algorithm.program())
        self._next: Instruction = next(self._one)
        self._own: list[Program] = []
        self._waiting: list[Instruction] = []

    def waiting(self, active: Rows) -> list[tuple[Rows, Instruction]]:
        """The runs that wait for equal instructions, together."""
        if self._one is not None and isinstance(self._next, Certify):
            self._part()
        if self._one is not None:
            return [(active, self._next)]
        kinds: list[Instruction] = []
        members: list[list[int]] = []
        for run in active.tolist():
            instruction = self._waiting[run]
            for kind, group in zip(kinds, members, strict=True):
                if instruction == kind:
                    group.append(run)
                    break
            else:
                kinds.append(instruction)
                members.append([run])
        return [(np.array(group, dtype=np.intp), kind) for kind, group in zip(kinds, members, strict=True)]

    def send(self, runs: Rows, reports: list[Report]) -> None:
        """Tell each run's program what came of its instruction."""
        if self._one is not None:
            self._next = self._one.send(reports[0])
            self._sent += 1
            return
        for run, report in zip(runs.tolist(), reports, strict=True):
            self._waiting[run] = self._own[run].send(report)

    def _part(self) -> None:
        self._one = None
        self._own = [_singly(self._algorithm.program()) for _ in range(self._runs)]
        self._waiting = [next(program) for program in self._own]
        for _ in range(self._sent):
            self._waiting = [program.send(Report()) for program in self._own]


def _singly(program: Program) -> Program:
    """The program with the updates of an online instruction one by one: what is given can run out between two."""
    instruction = next(program)
    while True:
        if isinstance(instruction, PlayOnline):
            for _ in range(instruction.updates):
                report = yield instruction.natural_step
        else:
            report = yield instruction
        instruction = program.send(report)
