"""Tiny random models of the recipes' architectures that chat in their turns: ChatML for Qwen2, headers for Llama 3."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transformers import LlamaForCausalLM, Qwen2ForCausalLM

import tiny_models


@dataclass(frozen=True)
class ChatStyle:
    """How a family of models writes a conversation.

    Attributes:
        turn: of one message, in Jinja.
        opening: of the assistant's turn.
        special: tokens that the tokenizer must not cut, the end of a turn last.
    """

    turn: str
    opening: str
    special: tuple[str, ...]

    @property
    def template(self) -> str:
        return (
            f"{{% for message in messages %}}{self.turn}{{% endfor %}}"
            f"{{% if add_generation_prompt %}}{self.opening}{{% endif %}}"
        )


STYLES: dict[tiny_models.Architecture, ChatStyle] = {
    "qwen2": ChatStyle(
        "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n",
        "<|im_start|>assistant\n",
        ("<|im_start|>", "<|im_end|>"),
    ),
    "llama": ChatStyle(
        "<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n{{ message['content'] }}<|eot_id|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    ),
}


def save_chat_model(folder: Path, architecture: tiny_models.Architecture, seed: int = 0) -> str:
    """A random causal LM whose answers end where its family ends a turn."""
    style = STYLES[architecture]
    tokenizer = tiny_models.make_tokenizer(chat_template=False)
    tokenizer.add_special_tokens({"additional_special_tokens": list(style.special)})
    tokenizer.eos_token = style.special[-1]
    tokenizer.chat_template = style.template
    model_class = LlamaForCausalLM if architecture == "llama" else Qwen2ForCausalLM
    return tiny_models.save_model(folder, model_class, tokenizer, seed, architecture, initializer_range=0.1)
