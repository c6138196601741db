"""Random language models of known sizes, a tokenizer of made-up words, prompts and answers of so many tokens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

PAD, BOS, EOS = 0, 1, 2
WORDS = 1000  # that texts are made of: a tokenizer of a whole vocabulary is slow to make, and no matter here
_SPECIAL = ("<pad>", "<bos>", "<eos>")  # none of them is a part of a word, or the word would be cut there


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a Llama, or of a Qwen2, which differs by biases."""

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    tied: bool = True
    qwen: bool = False


SHAPES = {
    "tiny": Shape(WORDS, 32, 64, 2, 2, 2),
    "wide": Shape(150_000, 64, 128, 2, 2, 2),  # hardly anything but a vocabulary
    "10M": Shape(4096, 320, 864, 7, 5, 5),
    "15M": Shape(8192, 384, 1024, 7, 6, 6),
    "qwen2.5-1.5b": Shape(151_936, 1536, 8960, 28, 12, 2, qwen=True),
    "qwen2.5-7b": Shape(152_064, 3584, 18_944, 28, 28, 4, tied=False, qwen=True),
}


def make_model(shape: Shape, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Any:
    """The same random weights whenever it is called."""
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    kind, model = (Qwen2Config, Qwen2ForCausalLM) if shape.qwen else (LlamaConfig, LlamaForCausalLM)
    config = kind(
        vocab_size=shape.vocabulary, hidden_size=shape.hidden, intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads,
        max_position_embeddings=8192, tie_word_embeddings=shape.tied, pad_token_id=PAD, bos_token_id=BOS,
        eos_token_id=EOS,
    )  # fmt: skip
    torch.manual_seed(0)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)  # a large model is not to be made in float32 first
    try:
        with torch.device(device):
            return model(config)
    finally:
        torch.set_default_dtype(usual)


def make_tokenizer(words: int = WORDS) -> Any:
    """One token a word, `w3` to the last."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {name: i for i, name in enumerate(_SPECIAL)} | {word(i): i for i in range(len(_SPECIAL), words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=_SPECIAL[PAD]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=_SPECIAL[PAD], bos_token=_SPECIAL[BOS], eos_token=_SPECIAL[EOS]
    )


def save(shape: Shape, folder: Path) -> str:
    """A model with a tokenizer of its whole vocabulary as a folder, whose name is returned."""
    make_model(shape).save_pretrained(folder)
    make_tokenizer(shape.vocabulary).save_pretrained(folder)
    return str(folder)


def word(token: int) -> str:
    return f"w{token}"


def text(tokens: list[int]) -> str:
    """What the tokenizer reads as these."""
    return " ".join(map(word, tokens))


def prompts_and_answers(
    prompts: int, samples: int, prompt_tokens: int, answer_tokens: int
) -> tuple[list[list[int]], list[list[list[int]]]]:
    """Prompts, and `samples` answers to each which end by themselves: token ids."""
    rng = np.random.default_rng(0)
    asked = rng.integers(len(_SPECIAL), WORDS, size=(prompts, prompt_tokens)).tolist()
    answered = rng.integers(len(_SPECIAL), WORDS, size=(prompts, samples, answer_tokens))
    answered[:, :, -1] = EOS
    return asked, answered.tolist()
