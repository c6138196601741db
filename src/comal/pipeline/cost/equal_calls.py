"""How many proximal steps of a program a number of judged pairs pays for, found by walking the program."""

from __future__ import annotations

from dataclasses import dataclass

from comal.algorithms.base import (
    INITIAL_ROLES,
    POLICY,
    Algorithm,
    Certify,
    Copy,
    Mix,
    PlayOnline,
    ProxStep,
    Report,
    Role,
)
from comal.errors import ConfigError
from comal.pipeline.step.sampler import pairs_judged, sampler_of
from comal.recipes.settings import SamplingSettings

_SOLVED = Report(kl_moved=0.0, kl_reference=1.0, kl_best_response=0.0, win_rate_previous=0.5, iterations=1)
"""What the walk tells the program of each instruction: a certificate that passes. One that does not pass costs the same
where the reference is a copy of the policy."""


@dataclass(frozen=True, slots=True)
class Work:
    """What some steps of a program take.

    Attributes:
        steps: proximal steps.
        pairs: of answers that the judge compares, before the cache and repeated answers spare any.
        answers: sampled.
    """

    steps: int
    pairs: int
    answers: int


def work_of(rule: Algorithm, sampling: SamplingSettings, steps: int) -> Work:
    """What the first `steps` proximal steps of a program take."""
    return _walk(rule, sampling, steps, None)


def steps_within(rule: Algorithm, sampling: SamplingSettings, pairs: int, place: str) -> Work:
    """The most proximal steps that `pairs` judged pairs pay for.

    Raises:
        ConfigError: not even one.
    """
    work = _walk(rule, sampling, None, pairs)
    if not work.steps:
        raise ConfigError(place, f"one proximal step takes more than the {pairs:,} pairs there are; raise `steps`")
    return work


def _walk(rule: Algorithm, sampling: SamplingSettings, steps: int | None, pairs: int | None) -> Work:
    versions: dict[Role, int] = dict.fromkeys(INITIAL_ROLES, 0)

    def policies(mix: Mix) -> dict[int, float]:
        """Weights of the policies that a mixture of roles is of; those that are equal now count together."""
        weights: dict[int, float] = {}
        for role, weight in mix.weights.items():
            version = versions.get(role, versions[POLICY])
            weights[version] = weights.get(version, 0.0) + weight
        return weights

    program = rule.program()
    instruction = next(program)
    done, latest = Work(0, 0, 0), 0
    compared = drawn = 0
    while steps is None or done.steps < steps:
        if isinstance(instruction, ProxStep):
            latest += 1
            sampler = policies(sampler_of(instruction))
            opponents = [policies(mix) for _, mix in instruction.opponent.terms]
            compared += sampling.prompts * sum(pairs_judged(sampling, mix == sampler) for mix in opponents)
            different = [sampler, *(mix for mix in opponents if mix != sampler)]
            drawn += sampling.prompts * sampling.samples * len(different)
            if pairs is not None and compared > pairs:
                break
            done = Work(latest, compared, drawn)
            versions[instruction.out] = latest
        elif isinstance(instruction, PlayOnline):
            latest += 1
            prompts = sampling.prompts * instruction.updates
            compared += prompts * pairs_judged(sampling, self_play=True)
            drawn += prompts * sampling.samples
            if pairs is not None and compared > pairs:
                break
            done = Work(latest, compared, drawn)
            versions[instruction.out] = latest
        elif isinstance(instruction, Copy):
            versions[instruction.out] = versions.get(instruction.src, versions[POLICY])
        elif isinstance(instruction, Certify):
            compared += sampling.prompts * sampling.samples**2
            drawn += 2 * sampling.prompts * sampling.samples
        instruction = program.send(_SOLVED)
    return done
