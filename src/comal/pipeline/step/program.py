"""The instructions of a program one after another, as a run would carry them out, and what each of them costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

from comal.algorithms.base import Algorithm, Certify, Instruction, Mix, PlayOnline, ProxStep, Report, Role
from comal.pipeline.disk.method_folder import INITIAL
from comal.pipeline.step.roles import Roles
from comal.pipeline.step.sampler import label, pairs_judged, sampler_of
from comal.recipes.settings import SamplingSettings

SOLVED = Report(kl_moved=0.0, kl_reference=1.0, kl_best_response=0.0, win_rate_previous=0.5, iterations=1)
"""Of a game that is solved: every certificate passes."""
UNSOLVED = Report(kl_moved=0.0, kl_reference=0.0, kl_best_response=1.0, win_rate_previous=0.5, iterations=1)
"""Of a game that is not: no certificate passes."""


@dataclass(frozen=True, slots=True)
class InstructionCost:
    """What carrying out an instruction takes.

    Attributes:
        prompts: trained on.
        pairs: of answers that the judge compares, before the cache and repeated answers spare any.
        answers: drawn.
    """

    prompts: int = 0
    pairs: int = 0
    answers: int = 0

    def __add__(self, other: InstructionCost) -> InstructionCost:
        return InstructionCost(self.prompts + other.prompts, self.pairs + other.pairs, self.answers + other.answers)


def instructions_of(algorithm: Algorithm, reports: Iterable[Report] = repeat(SOLVED)) -> Iterator[Instruction]:
    """The instructions of an algorithm's program that is told these reports of them; as many, and the next one."""
    program = algorithm.program()
    yield next(program)
    for report in reports:
        yield program.send(report)


def walk(
    algorithm: Algorithm,
    sampling: SamplingSettings,
    reports: Iterable[Report] = repeat(SOLVED),
    given: Mapping[Role, str] | None = None,
) -> Iterator[tuple[Instruction, InstructionCost]]:
    """The same with what each instruction costs.

    Args:
        algorithm: one that a language model can follow.
        sampling: how much is drawn and judged.
        reports: that the program is told.
        given: names of the policies of roles that do not start as the initial one.
    """
    roles = Roles(Path(), INITIAL, given)
    for instruction in instructions_of(algorithm, reports):
        yield instruction, cost_of(instruction, roles, sampling)
        roles.advance(instruction)


def cost_of(instruction: Instruction, roles: Roles, sampling: SamplingSettings) -> InstructionCost:
    """What an instruction takes of a run whose roles are what they are before it."""
    prompts, K = sampling.prompts, sampling.samples
    match instruction:
        case ProxStep():
            met = [meets_itself(instruction, mix, roles) for _, mix in instruction.opponent.terms]
            others = {
                label(mix) for (_, mix), itself in zip(instruction.opponent.terms, met, strict=True) if not itself
            }
            pairs = sum(pairs_judged(sampling, itself) for itself in met)
            return InstructionCost(prompts, prompts * pairs, prompts * K * (1 + len(others)))
        case PlayOnline():
            prompts *= instruction.updates
            return InstructionCost(prompts, prompts * pairs_judged(sampling, self_play=True), prompts * K)
        case Certify():
            return InstructionCost(0, prompts * K**2, prompts * K * 2)
        case _:
            return InstructionCost()


def meets_itself(step: ProxStep, opponent: Mix, roles: Roles) -> bool:
    """Whether an opponent of a step is the policy that draws the step's samples, so that these play each other."""
    return roles.mixture(opponent) == roles.mixture(sampler_of(step))
