"""The content of a run's result.json: every policy's figures on the test prompts, and nothing that is a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comal.evaluation.estimates import Estimate
from comal.evaluation.exploitability.certificate import AnsweredPrompt
from comal.evaluation.exploitability.scoreboard import PolicyFigures
from comal.evaluation.exploitability.several import SeveralAnswers
from comal.judges.asking.oracle import Counts
from comal.records import INLINE, OMITTED, from_json, read_plain, to_json


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """What the final evaluation measured of one policy.

    Attributes:
        figures: who beats it how often.
        kl_start: KL(policy || starting policy), nats an answer.
        mean_tokens: of its answers.
        unfinished: share of them that hit the length limit.
        comparisons: judged pairs that training its method took; 0 for a policy that is no method's last.
        worst_case_excess: how much more often its strongest adversary beats it than the first method's last policy is
            beaten by its own, prompt by prompt; None for that policy.
        several: what several of its answers at once are worth to the users of a population; None of other judges.
    """

    figures: PolicyFigures = field(metadata=INLINE)
    kl_start: Estimate
    mean_tokens: float
    unfinished: float
    comparisons: int
    worst_case_excess: Estimate | None = field(default=None, metadata=OMITTED)
    several: tuple[SeveralAnswers, ...] | None = field(default=None, metadata=OMITTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run found.

    Attributes:
        name, seed: of the recipe.
        methods: names; the first is the recipe's algorithm, whose policy is delivered.
        picked: for each method the policy that validation win rates against the start would pick: `method` or
            `method@step`; None in results of older versions.
        test_prompts: how many.
        policies: scored ones, by name: `start`, every method's last, and the picked ones.
        cyclic_prompts: share of the prompts with a strict cycle among sampled answers.
        oracle: what the judge was asked; None in results of older versions.
        examples: first answers to the first prompts.
    """

    name: str
    seed: int
    methods: tuple[str, ...]
    picked: Mapping[str, str] | None = field(default=None, metadata=OMITTED)
    test_prompts: int
    policies: Mapping[str, PolicyResult]
    cyclic_prompts: float
    oracle: Counts | None = field(default=None, metadata=OMITTED)
    examples: tuple[AnsweredPrompt, ...] = ()

    def __post_init__(self) -> None:
        for name in self.methods:
            if name not in self.policies:
                raise ValueError(f"the method `{name}` is not among the policies")

    def to_json(self) -> dict[str, Any]:
        """As plain values, in the order of the file."""
        plain: dict[str, Any] = to_json(self)
        return plain

    @classmethod
    def from_json(cls, plain: Any, place: str) -> RunResult:
        """What `to_json` made; `place` is the file, for messages.

        Raises:
            RunError: a missing or wrong field, or a method without figures.
        """
        result: RunResult = from_json(cls, plain, place)
        return result


def method_of(policy: str) -> str:
    """The method that a policy `method` or `method@step` is of."""
    return policy.partition("@")[0]


def step_of(policy: str) -> int | None:
    """After how many proximal steps of its method a policy `method@step` is; None for a last one, or the start."""
    step = policy.partition("@")[2]
    return int(step) if step else None


def read_result(path: Path) -> RunResult:
    """The result in a file.

    Raises:
        RunError: it cannot be read.
    """
    return RunResult.from_json(read_plain(path), str(path))
