"""From a prompt to the token ids up to where its answer begins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from comal.policies.base import Prompt


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """What a model gets to read of a prompt.

    Attributes:
        chat_template: `auto` uses the tokenizer's template when it has one, `none` gives the prompt as plain text.
        system_prompt: put before every prompt by the chat template.
        max_tokens: longer prompts lose their beginning.
    """

    chat_template: Literal["auto", "none"] = "auto"
    system_prompt: str | None = None
    max_tokens: int = 512


@dataclass
class PromptEncoder:
    """Turns prompts into token ids: by the tokenizer's chat template, or as plain text."""

    tokenizer: Any
    use_template: bool
    system_prompt: str | None
    max_tokens: int
    _known: dict[str, list[int]] = field(default_factory=dict)

    def __call__(self, prompt: Prompt) -> list[int]:
        """Token ids up to where the answer begins; of an over-long prompt the last `max_tokens`."""
        if prompt.id not in self._known:
            self._known[prompt.id] = self._encode(prompt)[-self.max_tokens :]
        return self._known[prompt.id]

    def _encode(self, prompt: Prompt) -> list[int]:
        if not self.use_template:
            ids: list[int] = self.tokenizer(prompt.text)["input_ids"]
            return ids
        system = [{"role": "system", "content": self.system_prompt}] if self.system_prompt else []
        text = self.tokenizer.apply_chat_template(
            [*system, *(dict(m) for m in prompt.messages)], tokenize=False, add_generation_prompt=True
        )
        template_ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return template_ids
