"""What draws a policy's answers: an engine, which a recipe names, and the policies that it has opened.

An engine draws and never scores: log-probabilities that are trained on come from the one scoring path whatever draws.
That both are one policy is what the check at the door finds out (`comal.policies.door`), for an engine that holds
weights of its own after every load.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from comal.plugins import describe
from comal.policies.base import Completion, Drawn, Prompt

if TYPE_CHECKING:
    from comal.policies.door import Agreement
    from comal.policies.transformers import TransformersPolicy

PLACE = "sampling.engine"
Numbered = Sequence[tuple[int, Prompt]]
"""Prompts with their positions in the stage that draws: a prompt that comes twice is given different answers."""


class Sampler(ABC):
    """A policy that an engine has opened.

    Attributes:
        scorer: the same policy as it is scored; its decoding and encoder hold for the sampler too.
        agreement: what the check at the door found, once it has looked.
        stride: every how many processes there is one that draws.
    """

    stride: int = 1

    def __init__(self, scorer: TransformersPolicy) -> None:
        self.scorer = scorer

    @property
    @abstractmethod
    def agreement(self) -> Agreement | None:
        """What the check at the door found; None before it."""

    @abstractmethod
    def check(self, prompts: Sequence[Prompt]) -> Agreement:
        """Check, unless it is known, that what is drawn is what is scored.

        Raises:
            PolicyError: it is not; the message says why as far as that can be told.
        """

    @abstractmethod
    def at_once(self, prompts: int, samples: int) -> int:
        """How many prompts one call of `draw` should get, of so many in a stage with so many answers each."""

    @abstractmethod
    def draw(
        self, prompts: Numbered, samples: int, seed: int, longest: int | None = None, log_probs: bool = False
    ) -> list[list[Drawn]]:
        """`samples` answers to each prompt, in order; the same ones whenever they are asked for again like this.

        Args:
            prompts: with their positions.
            samples: answers a prompt.
            seed: of the stage.
            longest: tokens at most; None: as the decoding says.
            log_probs: whether to tell the tokens' log-probabilities.

        Raises:
            PolicyError: the engine failed.
        """

    def rest(self) -> None:  # noqa: B027 - nothing to do for those that hold nothing
        """Nothing is drawn for a while: the memory of an accelerator may be used otherwise."""

    def answers(self, prompts: Numbered, samples: int, seed: int) -> list[list[Completion]]:
        """What `draw` gives, as answers."""
        groups = self.draw(prompts, samples, seed)
        return [[self.scorer.completion(list(drawn.token_ids)) for drawn in group] for group in groups]


@dataclass(frozen=True, slots=True)
class Opening:
    """What an engine is to open, and all that it may need to know of it.

    Attributes:
        weights: a checkpoint (folder, or the initial policy's hub id) with weight 1, or those of a mixture.
        opened: opens such weights as they are scored.
        beside: opens another checkpoint of the same store as it is scored, while these stay open.
        base: folder or hub id of the initial policy.
        revision: of the hub.
        dtype: of the weights.
        trust_remote_code: whether to run the model's own code.
        lora_rank: of the adapters that checkpoints are; None: they are whole models.
        log: where a process of the engine's own writes what it has to say; None: to a temporary file.
    """

    weights: Mapping[str | Path, float]
    opened: Callable[[Mapping[str | Path, float]], TransformersPolicy]
    beside: Callable[[str], TransformersPolicy]
    base: str
    revision: str | None
    dtype: str
    trust_remote_code: bool
    lora_rank: int | None
    log: Path | None


class Engine(ABC):
    """Settings of what draws answers: a frozen dataclass in a file of its own.

    Attributes:
        outside: whether it holds weights of its own, which it reads from checkpoints, and what it draws with them.
        mixes: whether it can draw from a mixture of checkpoints, token by token.
    """

    outside: ClassVar[bool] = False
    mixes: ClassVar[bool] = False

    @property
    def harmless(self) -> frozenset[str]:
        """Names of settings that decide no draw (where a program lies); they may differ when a run is continued."""
        return frozenset()

    def essentials(self) -> dict[str, Any]:
        """The settings without the harmless ones, in JSON types."""
        return {key: value for key, value in describe(self).items() if key not in self.harmless}

    def memory(self, weights: int, answers: int) -> int:  # noqa: ARG002
        """Bytes that it takes on each of its accelerators while it draws, beside the policy that is scored.

        Args:
            weights: of the whole model, bytes.
            answers: keys and values of the answers that are drawn at once, bytes.
        """
        return 0

    def require(self) -> None:  # noqa: B027 - nothing to do for those that come with comal
        """Raise ComalError if the engine is not installed here, or settings cannot be honoured here."""

    @abstractmethod
    def sampler(self, opening: Opening) -> Sampler:
        """Open a checkpoint, or a mixture of several, to draw from.

        Raises:
            PolicyError: it cannot be opened.
        """


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a store's policies are drawn by.

    Attributes:
        engine: settings.
        log: where an engine of a process of its own writes what it has to say; None: to a temporary file.
    """

    engine: Engine
    log: Path | None = None
