"""What one method of a recipe does and what its steps cost, from a walk of its program alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, repeat, takewhile
from typing import Any

from comal.algorithms.base import REFERENCE, Algorithm, Copy, Report, Role, Step
from comal.errors import ConfigError
from comal.pipeline.disk.journal import instruction_text
from comal.pipeline.step.program import SOLVED, UNSOLVED, InstructionCost, walk
from comal.plugins import describe
from comal.recipes.settings import Recipe, SamplingSettings


@dataclass(frozen=True, slots=True)
class StepsCost:
    """What some proximal steps of a program take, with what comes between them.

    Attributes:
        steps: how many.
        pairs: of answers that the judge compares, before the cache and repeated answers spare any.
        answers: drawn.
    """

    steps: int
    pairs: int
    answers: int


def cost_of_steps(
    rule: Algorithm,
    sampling: SamplingSettings,
    steps: int,
    report: Report = SOLVED,
    given: Mapping[Role, str] | None = None,
) -> StepsCost:
    """What the first `steps` proximal steps of a program take, from 1.

    Args:
        rule: the algorithm.
        sampling: how much is drawn and judged.
        steps: how many.
        report: what the program is told of each instruction. A certificate that does not pass costs the same as one
            that does where the reference is a copy of the policy.
        given: names of the policies of roles that do not start as the initial one.
    """
    return next(islice(_growing(rule, sampling, report, given), steps - 1, None))


def steps_within(rule: Algorithm, sampling: SamplingSettings, pairs: int, place: str) -> StepsCost:
    """The most proximal steps that `pairs` judged pairs pay for, where every certificate passes.

    Raises:
        ConfigError: not even one.
    """
    paid: StepsCost | None = None
    for cost in takewhile(lambda cost: cost.pairs <= pairs, _growing(rule, sampling)):
        paid = cost
    if paid is None:
        raise ConfigError(place, f"one proximal step takes more than the {pairs:,} pairs there are; raise `steps`")
    return paid


def _growing(
    rule: Algorithm, sampling: SamplingSettings, report: Report = SOLVED, given: Mapping[Role, str] | None = None
) -> Iterator[StepsCost]:
    """What the first step takes, the first two, and so on."""
    steps, total = 0, InstructionCost()
    for instruction, cost in walk(rule, sampling, repeat(report), given):
        total += cost
        if isinstance(instruction, Step):
            steps += 1
            yield StepsCost(steps, total.pairs, total.answers)


def method_cost(name: str, rule: Algorithm, recipe: Recipe, given: Mapping[Role, str] | None = None) -> dict[str, Any]:
    """What a run would do of the program, with reports of a game that is always solved.

    Args:
        name: the method's.
        rule: its algorithm.
        recipe: of the run.
        given: names of the policies of roles that do not start as the initial one.

    Returns:
        What `comal plan` shows of it: `program` (lines), `derived` quantities, numbers of `reference_moves`, `looks`,
        `prompts` trained on, and at most so many `comparisons` and `answers`, whether certificates pass or not.
    """
    lines: list[str] = []
    steps = moves = copies = prompts = 0
    for instruction, cost in walk(rule, recipe.sampling, given=given):
        if len(lines) < 12:
            lines.append(instruction_text(instruction))
        prompts += cost.prompts
        if isinstance(instruction, Step | Copy) and instruction.out == REFERENCE:
            moves += 1
            copies += isinstance(instruction, Copy)
        steps += isinstance(instruction, Step)
        if steps == recipe.steps:
            break
    costs = [cost_of_steps(rule, recipe.sampling, steps, report, given) for report in (SOLVED, UNSOLVED)]
    every = recipe.evaluation.every
    return {
        "name": name,
        "algorithm": describe(rule)["name"],
        "program": _folded(lines),
        "derived": _derived(rule),
        "reference_moves": moves,
        "looks": 1 + (copies if every is None else recipe.steps // every),
        "prompts": prompts,
        "comparisons": max(cost.pairs for cost in costs),
        "answers": max(cost.answers for cost in costs),
    }


def _derived(rule: Algorithm) -> dict[str, float]:
    inner = getattr(rule, "inner", None) or rule
    eta, tau = getattr(inner, "eta", None), getattr(inner, "tau", None)
    derived: dict[str, float] = {}
    if eta is not None:
        derived |= {"η": eta, "INPO's eta (1/η)": 1 / eta, "regression margin (η/2)": eta / 2}
    if eta is not None and tau is not None:
        derived |= {"τ": tau, "reference's weight ητ": eta * tau}
    return derived


def _folded(lines: list[str]) -> list[str]:
    """Runs of equal lines as one line with a count."""
    folded: list[tuple[str, int]] = []
    for line in lines:
        if folded and folded[-1][0] == line:
            folded[-1] = (line, folded[-1][1] + 1)
        else:
            folded.append((line, 1))
    return [line if count == 1 else f"{line}   × {count}" for line, count in folded] + ["…"]
