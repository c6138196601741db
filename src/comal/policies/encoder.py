"""From a prompt to the token ids up to where its answer begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from comal.errors import PolicyError, first_line
from comal.models.chat import left_out, standing_clock
from comal.models.tokens import prompt_ids
from comal.policies.base import Prompt

Messages = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """What a model gets to read of a prompt.

    Attributes:
        chat_template: `auto` uses the tokenizer's template when it has one, `none` gives the prompt as plain text.
        system_prompt: put before every prompt by the chat template.
        max_tokens: longer prompts lose the end of their last message.
    """

    chat_template: Literal["auto", "none"] = "auto"
    system_prompt: str | None = None
    max_tokens: int = 512

    def encoder(self, tokenizer: Any, name: str) -> PromptEncoder:
        """What reads prompts so, by the tokenizer of the model of this name.

        Raises:
            PolicyError: the tokenizer has no chat template in use for the system prompt.
        """
        use_template = self.chat_template == "auto" and getattr(tokenizer, "chat_template", None) is not None
        if self.system_prompt and not use_template:
            raise PolicyError("policy.system_prompt", f"`{name}` has no chat template in use to put it in")
        return PromptEncoder(tokenizer, use_template, self.system_prompt, self.max_tokens)


@dataclass(eq=False)
class PromptEncoder:
    """Turns prompts into token ids: by the tokenizer's chat template, or as plain text."""

    tokenizer: Any
    use_template: bool
    system_prompt: str | None
    max_tokens: int
    _known: dict[str, list[int]] = field(default_factory=dict)

    def __call__(self, prompt: Prompt) -> list[int]:
        """Token ids up to where the answer begins; of an over-long prompt the last message loses its end.

        Raises:
            PolicyError: the chat template refuses the prompt, or what is around its last message is too long already.
        """
        if prompt.id not in self._known:
            ids = self.whole(prompt)
            self._known[prompt.id] = ids if len(ids) <= self.max_tokens else self.whole(self.cut(prompt))
        return self._known[prompt.id]

    def whole(self, prompt: Prompt) -> list[int]:
        """Token ids of a prompt, however many.

        Raises:
            PolicyError: the chat template refuses it.
        """
        if not self.use_template:
            return prompt_ids(self.tokenizer, prompt.text)
        ids: list[int] = self.tokenizer(self.rendered(prompt), add_special_tokens=False)["input_ids"]
        return ids

    def cut(self, prompt: Prompt) -> Prompt:
        """The prompt, with as much of its last message as `max_tokens` leave room for; the same one if it fits.

        The beginning of the message is kept, and the chat template, the system prompt and earlier messages whole.

        Raises:
            PolicyError: as of the call.
        """
        if not self.is_long(prompt):
            return prompt
        text = prompt.messages[-1]["content"]
        fits, too_long = 0, len(text)
        while fits + 1 < too_long:
            middle = (fits + too_long) // 2
            fits, too_long = (fits, middle) if self.is_long(_shortened(prompt, middle)) else (middle, too_long)
        shorter = _shortened(prompt, fits)
        if not shorter.messages[-1]["content"].strip() or self.is_long(shorter):
            raise PolicyError(
                "policy.max_prompt_tokens",
                f"what stands around the last message of the prompt {_start(text)} leaves no room for it in"
                f" {self.max_tokens} tokens; raise it, or shorten the system prompt",
            )
        return shorter

    def is_long(self, prompt: Prompt) -> bool:
        """Whether a prompt has more than `max_tokens`.

        Raises:
            PolicyError: the chat template refuses it.
        """
        return len(self.whole(prompt)) > self.max_tokens

    def rendered(self, prompt: Prompt, answer: str | None = None) -> str:
        """A prompt, and an answer to it, as the chat template writes them.

        Raises:
            PolicyError: the template refuses them, or leaves one of them out.
        """
        messages = self.messages(prompt)
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
        try:
            text: str = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=answer is None, **standing_clock(self.tokenizer)
            )
        except Exception as error:  # a template is a program of somebody's, and may raise anything
            raise self._unfit(messages, f"refuses the prompt {_start(prompt.text)}", first_line(error)) from error
        lost = left_out(messages, text)
        if lost is not None:
            raise self._unfit(messages, f"leaves {_start(lost['content'])} out", f"the {lost['role']}'s message")
        return text

    def messages(self, prompt: Prompt) -> Messages:
        """The messages that the template is given."""
        system = [{"role": "system", "content": self.system_prompt}] if self.system_prompt else []
        return [*system, *(dict(m) for m in prompt.messages)]

    def require(self, prompts: Sequence[Prompt]) -> None:
        """Raise PolicyError if the chat template refuses one of the prompts."""
        if self.use_template:
            for prompt in prompts:
                self.rendered(prompt)

    def _unfit(self, messages: Messages, what: str, why: str) -> PolicyError:
        given = ", ".join(message["role"] for message in messages)
        mend = "leave policy.system_prompt out, or " if self.system_prompt else ""
        return PolicyError(
            "policy.chat_template",
            f"the chat template {what} with the roles {given} ({why}); {mend}mend the prompt, or set"
            " policy.chat_template to none for plain text",
        )


def _shortened(prompt: Prompt, length: int) -> Prompt:
    *earlier, last = prompt.messages
    return Prompt((*earlier, {**last, "content": last["content"][:length]}))


def _start(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")
