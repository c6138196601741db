"""The instructions of a program one after another, as a run would carry them out, and what each of them costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import repeat
from pathlib import Path

from comal.algorithms.base import (
    POLICY,
    Algorithm,
    Certify,
    Instruction,
    Mix,
    PlayOnline,
    ProxStep,
    Report,
    Role,
    StackelbergStep,
)
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
        drawn: the same, each counted once for every policy whose logits it is drawn from.
        drawn_by_start: of these, by the initial policy.
        scored: answers whose log-probability is computed, counted once for every policy that does.
        scored_by_start: of these, by the initial policy.
    """

    prompts: int = 0
    pairs: int = 0
    answers: int = 0
    drawn: int = 0
    drawn_by_start: int = 0
    scored: int = 0
    scored_by_start: int = 0

    def __add__(self, other: InstructionCost) -> InstructionCost:
        return InstructionCost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


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
                label(mix): mix for (_, mix), itself in zip(instruction.opponent.terms, met, strict=True) if not itself
            }
            pairs = sum(pairs_judged(sampling, itself) for itself in met)
            sampler = roles.mixture(sampler_of(instruction))
            drawn_by = [sampler, *map(roles.mixture, others.values())]
            scored_by = dict.fromkeys([roles[POLICY], *(roles[role] for role in instruction.scored)])
            if len(sampler) > 1 or next(iter(sampler)) not in scored_by:
                scored_by |= sampler  # a mixture's forward pass is one of each of its policies
            return InstructionCost(
                prompts,
                prompts * pairs,
                prompts * K * (1 + len(others)),
                drawn=prompts * K * sum(map(len, drawn_by)),
                drawn_by_start=prompts * K * sum(INITIAL in mix for mix in drawn_by),
                scored=prompts * K * len(scored_by),
                scored_by_start=prompts * K * (INITIAL in scored_by),
            )
        case PlayOnline():
            prompts *= instruction.updates
            return InstructionCost(prompts, prompts * pairs_judged(sampling, self_play=True), prompts * K)
        case Certify():
            both = [roles[instruction.policy], roles[instruction.reference]]
            by_start = prompts * K * both.count(INITIAL)
            return InstructionCost(
                0, prompts * K**2, prompts * K * 2,
                drawn=prompts * K * 2, drawn_by_start=by_start, scored=prompts * K * 2, scored_by_start=by_start,
            )  # fmt: skip
        case _:
            return InstructionCost()


def meets_itself(step: ProxStep, opponent: Mix, roles: Roles) -> bool:
    """Whether an opponent of a step is the policy that draws the step's samples, so that these play each other.

    Never where each sample is replied to: against itself it is no reply.
    """
    if isinstance(step, StackelbergStep):
        return False
    return roles.mixture(opponent) == roles.mixture(sampler_of(step))
