"""Prompts and the answers that policies give to them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Prompt:
    """A prompt: chat messages, the last of them the user's. `text` is what a judge is shown.

    Attributes:
        messages: `{"role": ..., "content": ...}` in order.
    """

    messages: tuple[Mapping[str, str], ...]

    @classmethod
    def of_text(cls, text: str) -> Prompt:
        """A single user turn."""
        return cls(({"role": "user", "content": text},))

    @cached_property
    def text(self) -> str:
        """The prompt as plain text: the turn itself, or a transcript when there are several."""
        if len(self.messages) == 1:
            return self.messages[0]["content"]
        return "\n\n".join(f"{m['role'].capitalize()}: {m['content']}" for m in self.messages)

    @cached_property
    def id(self) -> str:
        """A stable name: the first 12 hex digits of the content's SHA-256."""
        content = json.dumps([dict(m) for m in self.messages], ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Completion:
    """One sampled answer.

    Attributes:
        text: decoded, special tokens left out.
        token_ids: exactly the sampled tokens, the end-of-sequence token included when it was sampled.
        finished: whether the end of sequence was sampled before the length limit.
    """

    text: str
    token_ids: tuple[int, ...]
    finished: bool


@dataclass(frozen=True, slots=True)
class Drawn:
    """One answer as it was drawn.

    Attributes:
        token_ids: the end token included where it was drawn.
        log_probs: of each token, in nats, under the distribution that it was drawn from: after temperature and top-p.
            None where nobody asked.
    """

    token_ids: tuple[int, ...]
    log_probs: tuple[float, ...] | None = None


def answer_id(prompt: Prompt, completion: Completion) -> str:
    """A stable name of an answer to a prompt: equal answers to one prompt have equal names."""
    content = f"{prompt.id}\0{completion.finished:d}\0{completion.text}"
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def derive_seed(*parts: Any) -> int:
    """A 31-bit seed that depends on every part, so that stages draw independently and repeatably."""
    digest = hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF
