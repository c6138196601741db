"""Whose time is it? Processor seconds of the parts of a model's work, and of all that is around them."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers

OUTSIDE = "outside"


@dataclass
class Parts:
    """Seconds by part; a part that another one calls is not counted in it.

    Attributes:
        seconds: so far.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    _open: list[str] = field(default_factory=lambda: [OUTSIDE])
    _since: float = field(default_factory=lambda: time.process_time())

    def close(self) -> None:
        """Count what has passed since the last part began."""
        self._switch()

    def _switch(self) -> None:
        now = time.process_time()
        name = self._open[-1]
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What happens within counts as this."""
        self._switch()
        self._open.append(name)
        try:
            yield
        finally:
            self._switch()
            self._open.pop()

    @contextlib.contextmanager
    def watching(self, model: type[Any]) -> Iterator[Parts]:
        """Within, passes of models of this class, what draws tokens around them, and optimisers are parts."""
        watched = (
            (model, "forward", "forward"),
            (transformers.GenerationMixin, "generate", "generate, around the passes"),
            (torch.Tensor, "backward", "backward"),
            (torch.optim.AdamW, "step", "optimiser"),
        )
        with contextlib.ExitStack() as stack:
            for owner, name, part in watched:
                stack.enter_context(self._watched(owner, name, part))
            self._since = time.process_time()
            yield self
            self.close()

    @contextlib.contextmanager
    def _watched(self, owner: Any, name: str, part: str) -> Iterator[None]:
        own = name in vars(owner)
        plain = getattr(owner, name)

        @functools.wraps(plain)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.part(part):
                return plain(*args, **kwargs)

        setattr(owner, name, timed)
        try:
            yield
        finally:
            if own:
                setattr(owner, name, plain)
            else:
                delattr(owner, name)
