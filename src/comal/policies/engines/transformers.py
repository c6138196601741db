"""Answers by `generate` of Transformers, from the very model that is scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from comal.policies.base import Completion, Drawn, Prompt, derive_seed
from comal.policies.engines.base import Engine, Numbered, Opening, Sampler

if TYPE_CHECKING:
    from comal.policies.door import Agreement


@dataclass(frozen=True, slots=True)
class Transformers(Engine):
    """`generate` on the model that is scored: no weights are held twice, and any architecture does.

    Batches are made of whole prompts and each has a seed of its own, so an answer depends on the prompts it is batched
    with, and on nothing else.
    """

    mixes: ClassVar[bool] = True

    def sampler(self, opening: Opening) -> Sampler:
        """The policy as it is scored."""
        return TransformersSampler(opening.opened(opening.weights))


class TransformersSampler(Sampler):
    """A policy in this process's memory."""

    @property
    def agreement(self) -> Agreement | None:
        """The policy's own."""
        found: Agreement | None = self.scorer.agreement
        return found

    def check(self, prompts: Sequence[Prompt]) -> Agreement:
        """What `generate` does to the logits, padding, and the shared layout."""
        from comal.policies import door

        return door.once(self.scorer, prompts)

    def at_once(self, prompts: int, samples: int) -> int:  # noqa: ARG002
        """A batch."""
        return max(1, self.scorer.decoding.batch_size // samples)

    def answers(self, prompts: Numbered, samples: int, seed: int) -> list[list[Completion]]:
        """Seeded by the position of the first prompt of each batch."""
        return self.scorer.sample([prompt for _, prompt in prompts], samples, derive_seed(seed, prompts[0][0]))

    def draw(
        self, prompts: Numbered, samples: int, seed: int, longest: int | None = None, log_probs: bool = False
    ) -> list[list[Drawn]]:
        """See `Sampler.draw`; the same answers as `answers` gives."""
        size = self.at_once(len(prompts), samples)
        first, most = derive_seed(seed, prompts[0][0]), longest or self.scorer.decoding.max_new_tokens
        groups: list[list[Drawn]] = []
        for start in range(0, len(prompts), size):
            batch = [prompt for _, prompt in prompts[start : start + size]]
            drawn = self.scorer.draw(batch, samples, derive_seed(first, start), most, keep_logits=log_probs)
            answers = []
            for r, row in enumerate(drawn.tokens):
                tokens = self.scorer.completion(row).token_ids
                told = None
                if drawn.scores is not None:
                    scores_TV = drawn.scores[r, : len(tokens)].log_softmax(-1)
                    told = tuple(float(scores_TV[t, token]) for t, token in enumerate(tokens))
                answers.append(Drawn(tokens, told))
            groups += [answers[i : i + samples] for i in range(0, len(answers), samples)]
        return groups
