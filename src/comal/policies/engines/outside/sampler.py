"""A policy that an engine in a process of its own has opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from comal.errors import PolicyError
from comal.policies.base import Drawn, Prompt, derive_seed
from comal.policies.engines.base import PLACE, Numbered, Sampler
from comal.policies.engines.outside.running import Held, RunningEngine

if TYPE_CHECKING:
    from comal.policies.door import Agreement
    from comal.policies.transformers import TransformersPolicy

Policy = Callable[[], "TransformersPolicy"]


@dataclass(frozen=True, slots=True)
class Share:
    """How a stage's answers are shared out.

    Attributes:
        processes: that draw.
        stride: every how many of all processes there is one that draws.
    """

    processes: int = 1
    stride: int = 1


class OutsideSampler(Sampler):
    """Draws through an engine's process, every answer by a seed of its own.

    Args:
        scorer: the policy as it is scored.
        engine: the process.
        held: what it is to hold when this policy draws.
        name: of the engine.
        suspects: policies that it may hold instead, by what to call them.
        share: which of this run's processes draw.
    """

    def __init__(
        self,
        scorer: TransformersPolicy,
        engine: RunningEngine,
        held: Held,
        name: str,
        suspects: dict[str, Policy],
        share: Share,
    ) -> None:
        super().__init__(scorer)
        self.stride = share.stride
        self._engine, self._held, self._name = engine, held, name
        self._suspects, self._processes = suspects, share.processes

    @property
    def agreement(self) -> Agreement | None:
        """What was found of what the engine holds."""
        return self._engine.agreement if self._engine.held == self._held else None

    def check(self, prompts: Sequence[Prompt]) -> Agreement:
        """The engine's own log-probabilities of what it draws, held against the scorer's after every load."""
        from comal.policies import door

        self._hold()
        if self._engine.agreement is None:
            try:
                self._engine.agreement = door.require_engine(
                    self.scorer, self._draw_for_door, prompts, self.title, self._suspects
                )
            except PolicyError as error:
                reloaded = self._engine.reloaded
                self._engine.close()  # what it holds is not what it should: the next one starts anew
                if not reloaded:
                    raise
                raise PolicyError(
                    error.place,
                    f"{error.problem}; should it come back, start it for every checkpoint: {PLACE}.reload=false",
                ) from error
        return self._engine.agreement

    def _hold(self) -> None:
        if self.scorer.model.device.type == "cuda":
            import torch

            torch.cuda.empty_cache()  # what training has left to PyTorch is the engine's now
        self._engine.hold(self._held)

    def _draw_for_door(self, prompts: Sequence[Prompt], samples: int, seed: int, longest: int) -> list[list[Drawn]]:
        return self.draw(list(enumerate(prompts)), samples, seed, longest, log_probs=True)

    @property
    def title(self) -> str:
        """The engine's name with its version, and where it computes."""
        facts = self._engine.facts
        return f"{self._name} {facts['version']} on {facts['device']}" if facts else self._name

    def at_once(self, prompts: int, samples: int) -> int:  # noqa: ARG002
        """All of a stage, shared out among those that draw: an engine fills its batches itself."""
        return max(1, -(-prompts // self._processes))

    def draw(
        self, prompts: Numbered, samples: int, seed: int, longest: int | None = None, log_probs: bool = False
    ) -> list[list[Drawn]]:
        """See `Sampler.draw`; each answer is seeded by its prompt's position and its own number."""
        self._hold()
        encoded = [self.scorer.encoder(prompt) for _, prompt in prompts]
        self.scorer.require_rows(encoded)
        decoding = self.scorer.decoding
        sampling: dict[str, Any] = {
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            "max_tokens": longest or decoding.max_new_tokens,
            "stop_token_ids": self.scorer.end_tokens,
            "ignore_eos": True,  # as an end of its own: all end tokens are named
            "detokenize": False,
            "logprobs": 0 if log_probs else None,
        }
        rows = [ids for ids in encoded for _ in range(samples)]
        seeds = [derive_seed(seed, position, sample) for position, _ in prompts for sample in range(samples)]
        answers = self._engine.draw(rows, seeds, sampling)
        return [answers[i : i + samples] for i in range(0, len(answers), samples)]

    def rest(self) -> None:
        """See `Sampler.rest`."""
        self._engine.rest()
