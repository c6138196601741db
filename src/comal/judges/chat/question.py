"""What a chat model is asked: the request of one question, and how many tokens it may take."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from comal.judges.base import Comparison
from comal.judges.chat.api import PLACE
from comal.judges.words.templates import Template, fill

OURS: Final = frozenset({
    "model", "messages", "stream", "n", "seed", "temperature", "logprobs", "top_logprobs", "max_tokens",
    "max_completion_tokens",
})  # fmt: skip
"""Fields of a request that no further ones may replace."""

_CHAT_OVERHEAD = 256  # tokens that a chat template adds at most: roles, turns, a default system prompt
_ALTERNATIVES = 20  # the most that OpenAI and, by default, vLLM list


@dataclass(frozen=True, slots=True)
class QuestionForm:
    """How a comparison becomes a request.

    Attributes:
        model: as the server calls it.
        template: of the question, with the system prompt and the last line that hold.
        labels: the words for the first and the second answer.
        limit_field: what the server calls the limit of a reply.
        reply_tokens: of a sampled reply at most.
        temperature: of sampled replies; None sends none, by log-probs neither.
        seed: that the seeds of sampled replies are derived from; None sends none.
        extra_body: further fields of the request.
    """

    model: str
    template: Template
    labels: tuple[str, str]
    limit_field: str
    reply_tokens: int
    temperature: float | None
    seed: int | None
    extra_body: Mapping[str, Any]

    @property
    def values(self) -> dict[str, float]:
        """Pr(first ≻ second) by the word that the reply gives."""
        return self.template.values(self.labels)

    def for_log_probs(self, comparison: Comparison) -> dict[str, Any]:
        """The request of one token with the log-probabilities of its alternatives."""
        body = self._body(comparison, 1, None if self.temperature is None else 1.0)
        return body | {"logprobs": True, "top_logprobs": _ALTERNATIVES}

    def for_sample(self, comparison: Comparison) -> dict[str, Any]:
        """The request of a whole reply, without its seed."""
        return self._body(comparison, self.reply_tokens, self.temperature)

    def seed_of(self, comparison: Comparison, sample: int) -> dict[str, int]:
        """The field of a reply's own seed: one for all would draw a server that ignores `n` the same reply again."""
        if self.seed is None:
            return {}
        content = [self.seed, comparison.prompt, comparison.first, comparison.second, sample]
        drawn = int.from_bytes(hashlib.sha256(json.dumps(content).encode()).digest()[:4], "big") >> 1
        return {"seed": drawn}

    def messages(self, comparison: Comparison) -> list[dict[str, str]]:
        """The system prompt, where there is one, and the question."""
        template = self.template
        question = fill(template.question, comparison, self.labels, f"{PLACE}.template")
        system = [{"role": "system", "content": template.system}] if template.system else []
        shown = zip(template.roles or (), (comparison.first, comparison.second), strict=False)
        return [*system, {"role": "user", "content": question}, *({"role": r, "content": text} for r, text in shown)]

    def input_bound(self, body: Mapping[str, Any]) -> int:
        """Tokens of a request at most: no tokenizer in use makes more tokens of a text than it has bytes."""
        return sum(len(message["content"].encode()) for message in body["messages"]) + _CHAT_OVERHEAD

    def input_estimate(self, prompt_bytes: int, answer_bytes: int, bytes_per_token: float) -> int:
        """Tokens of a request about texts of so many bytes."""
        # Characters of no language, one for each variable: how often the template shows it.
        marks = ("\ue000", "\ue001", "\ue002")
        text = "".join(m["content"] for m in self.messages(Comparison(*marks)))
        plain = len(text.encode()) - sum(text.count(mark) * len(mark.encode()) for mark in marks)
        shown = text.count(marks[0]) * prompt_bytes + (text.count(marks[1]) + text.count(marks[2])) * answer_bytes
        return math.ceil((plain + shown) / bytes_per_token) + _CHAT_OVERHEAD

    def _body(self, comparison: Comparison, reply_tokens: int, temperature: float | None) -> dict[str, Any]:
        body = {"model": self.model, "messages": self.messages(comparison), self.limit_field: reply_tokens}
        return body | ({} if temperature is None else {"temperature": temperature}) | dict(self.extra_body)
