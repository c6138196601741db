"""Tiny random models saved as ordinary Hugging Face folders, so that tests load real ones from disk with no network.

Every builder is deterministic in its arguments, returns the folder as a `str` (what `from_pretrained` is given) and
leaves torch's global random state alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2ForSequenceClassification,
)

Architecture = Literal["llama", "qwen2"]

# AutoTokenizer adds this pad token to every Qwen2 tokenizer; as ours it needs no row beyond the embedding.
PAD, BOS, EOS = "<|endoftext|>", "<|bos|>", "<|eos|>"
SPECIAL_TOKENS = (PAD, BOS, EOS)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|bos|>{{ message['role'] }}\n{{ message['content'] }}<|eos|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|bos|>assistant\n{% endif %}"
)
CORPUS = (
    "Return the size of the file in bytes.",
    "Returns True if the queue is empty, False otherwise.",
    "The name of the current thread.",
    "Which of two answers is better, A or B? Answer with one letter.",
)


def make_tokenizer(
    *, chat_template: bool = True, pad: bool = True, corpus: Iterable[str] = CORPUS, vocab_size: int = 320
) -> PreTrainedTokenizerFast:
    """A byte-level BPE trained on `corpus`: any text survives encoding and decoding unchanged."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=PAD if pad else None
    )
    if chat_template:
        fast.chat_template = CHAT_TEMPLATE
    return fast


def save_causal_lm(
    folder: Path,
    *,
    architecture: Architecture = "llama",
    chat_template: bool = True,
    pad: bool = True,
    seed: int = 0,
    hidden_size: int = 64,
    layers: int = 2,
    initializer_range: float = 0.02,
    corpus: Iterable[str] = CORPUS,
    vocab_size: int = 320,
) -> str:
    """A random causal LM and its tokenizer: close to uniform with `initializer_range` near 0.02, sharp at 0.2."""
    tokenizer = make_tokenizer(chat_template=chat_template, pad=pad, corpus=corpus, vocab_size=vocab_size)
    config = _config(architecture, tokenizer, hidden_size, layers, initializer_range)
    model_class = LlamaForCausalLM if architecture == "llama" else Qwen2ForCausalLM
    return _save(folder, model_class, config, tokenizer, seed)


def save_reward_model(
    folder: Path,
    *,
    architecture: Architecture = "llama",
    chat_template: bool = True,
    pad: bool = True,
    seed: int = 0,
    hidden_size: int = 64,
    layers: int = 2,
    initializer_range: float = 0.2,
    num_labels: int = 1,
) -> str:
    """A random sequence-classification model (one logit: a reward) with its tokenizer."""
    tokenizer = make_tokenizer(chat_template=chat_template, pad=pad)
    config = _config(architecture, tokenizer, hidden_size, layers, initializer_range)
    config.num_labels = num_labels
    model_class = LlamaForSequenceClassification if architecture == "llama" else Qwen2ForSequenceClassification
    return _save(folder, model_class, config, tokenizer, seed)


def save_model(
    folder: Path,
    model_class: Any,
    tokenizer: PreTrainedTokenizerFast,
    seed: int,
    architecture: Architecture,
    initializer_range: float = 0.02,
) -> str:
    """A random model of a given class around a tokenizer of one's own."""
    return _save(folder, model_class, _config(architecture, tokenizer, 64, 2, initializer_range), tokenizer, seed)


def _config(
    architecture: Architecture,
    tokenizer: PreTrainedTokenizerFast,
    hidden_size: int,
    layers: int,
    initializer_range: float,
) -> Any:
    config_class = LlamaConfig if architecture == "llama" else Qwen2Config
    return config_class(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden_size // 32),  # heads of 32, the least for vLLM
        num_key_value_heads=max(1, hidden_size // 32),
        max_position_embeddings=1024,
        initializer_range=initializer_range,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _save(folder: Path, model_class: Any, config: Any, tokenizer: PreTrainedTokenizerFast, seed: int) -> str:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
