"""What one method of a recipe does and how often it asks, from its program alone."""

from __future__ import annotations

from typing import Any

from comal.algorithms.base import Algorithm, Copy, PlayOnline, ProxStep, Report
from comal.pipeline.disk.journal import instruction_text
from comal.pipeline.step.sampler import pairs_judged, sampler_of
from comal.plugins import describe
from comal.recipes.settings import Recipe


def method_cost(name: str, rule: Algorithm, recipe: Recipe) -> dict[str, Any]:
    """Walk the program as a run would, with reports of a game that is always solved.

    Returns:
        What `comal plan` shows of it: `program` (lines), `derived` quantities, numbers of `reference_moves`, `looks`,
        `prompts` trained on, `comparisons` and `answers`.
    """
    sampling = recipe.sampling
    samples, prompts = sampling.samples, sampling.prompts
    program = rule.program()
    instruction = next(program)
    lines: list[str] = []
    steps = moves = comparisons = answers = used = 0
    while steps < recipe.steps:
        if len(lines) < 12:
            lines.append(instruction_text(instruction))
        if isinstance(instruction, ProxStep):
            steps += 1
            used += prompts
            mixes = [mix for _, mix in instruction.opponent.terms]
            sampler = sampler_of(instruction)
            comparisons += sum(pairs_judged(sampling, mix == sampler) for mix in mixes) * prompts
            drawn = [sampler, *(mix for mix in mixes if mix != sampler)]
            answers += sum(mix not in drawn[:i] for i, mix in enumerate(drawn)) * samples * prompts
        elif isinstance(instruction, PlayOnline):
            steps += 1
            used += prompts * instruction.updates
            comparisons += pairs_judged(sampling, self_play=True) * prompts * instruction.updates
            answers += samples * prompts * instruction.updates
        elif isinstance(instruction, Copy):
            moves += 1
        else:
            comparisons += samples**2 * prompts
            answers += 2 * samples * prompts
        instruction = program.send(
            Report(kl_moved=0.0, kl_reference=1.0, kl_best_response=0.0, win_rate_previous=0.5, iterations=1)
        )
    every = recipe.evaluation.every
    return {
        "name": name,
        "algorithm": describe(rule)["name"],
        "program": _folded(lines),
        "derived": _derived(rule),
        "reference_moves": moves,
        "looks": 1 + (moves if every is None else recipe.steps // every),
        "prompts": used,
        "comparisons": comparisons,
        "answers": answers,
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
