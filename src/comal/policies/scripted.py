"""A policy over finitely many answers with given probabilities: for tests, examples and fixed opponents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from comal.policies.base import Completion, Prompt, derive_seed


@dataclass(frozen=True)
class ScriptedPolicy:
    """Answers from a table.

    Attributes:
        answers: for each prompt text, the probability of each answer text; `default` serves prompts not listed.
        default: the table of all other prompts.

    Raises:
        ValueError: probabilities that are negative or do not sum to 1.
        KeyError: a prompt that is not listed, when there is no default; an answer that is not in the table.
    """

    answers: Mapping[str, Mapping[str, float]]
    default: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        for table in [*self.answers.values(), *([self.default] if self.default is not None else [])]:
            if min(table.values()) < 0 or abs(sum(table.values()) - 1) > 1e-9:
                raise ValueError(f"probabilities must be at least 0 and sum to 1, got {dict(table)}")

    def sample(self, prompts: Sequence[Prompt], samples: int, seed: int) -> list[list[Completion]]:
        """Independent draws from each prompt's table."""
        drawn = []
        for prompt in prompts:
            table = self._table(prompt)
            rng = np.random.default_rng(derive_seed(seed, prompt.id))
            picks = rng.choice(len(table), size=samples, p=list(table.values()))
            texts = list(table)
            drawn.append([Completion(texts[i], (int(i),), finished=True) for i in picks])
        return drawn

    def log_probs(
        self, prompts: Sequence[Prompt], completions: Sequence[Sequence[Completion]]
    ) -> list[NDArray[np.float64]]:
        """Logarithms of the table's entries; -inf for a probability of 0."""
        with np.errstate(divide="ignore"):
            return [
                np.log(np.array([self._table(prompt)[c.text] for c in group], dtype=np.float64))
                for prompt, group in zip(prompts, completions, strict=True)
            ]

    def _table(self, prompt: Prompt) -> Mapping[str, float]:
        if prompt.text in self.answers:
            return self.answers[prompt.text]
        if self.default is None:
            raise KeyError(f"the scripted policy has no answers to {prompt.text!r}")
        return self.default
