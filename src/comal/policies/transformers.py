"""Policies that are Transformers causal LMs, whole or one adapter of a shared model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from comal.policies.base import Completion, Prompt, derive_seed
from comal.policies.encoder import PromptEncoder
from comal.policies.prefix import prefilled
from comal.policies.sequences import Group, TokenBatch, completion_log_probs


@dataclass(frozen=True, slots=True)
class Decoding:
    """How answers are drawn.

    Attributes:
        temperature, top_p: of the sampler; 1 and 1 sample the policy itself.
        max_new_tokens: length limit.
        batch_size: answers generated at once.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 256
    batch_size: int = 64


@dataclass(frozen=True, slots=True)
class Batching:
    """How forward passes are filled; it changes no figure but by rounding.

    Attributes:
        score: answers scored at once.
        share_prompt: compute a prompt once for all of its answers.
    """

    score: int = 64
    share_prompt: bool = False


class TransformersPolicy:
    """A causal LM with fixed weights, or one adapter of a shared model.

    Sampling and scoring are repeatable: batches are made of whole prompts in the given order, and each draws from a
    generator of its own seed, so neither the number of processes nor an interruption changes a draw.
    """

    def __init__(
        self,
        model: Any,
        encoder: PromptEncoder,
        decoding: Decoding,
        score_batch: int,
        adapter: str | None = None,
        share_prompt: bool = False,
    ) -> None:
        self.model = model
        self.encoder = encoder
        self.tokenizer = encoder.tokenizer
        self.decoding = decoding
        self.score_batch = score_batch
        self.adapter = adapter
        self.share_prompt = share_prompt

    @property
    def end_tokens(self) -> list[int]:
        """Tokens that end an answer."""
        configured = self.model.generation_config.eos_token_id
        ends = configured if isinstance(configured, list) else [configured]
        return sorted({t for t in [*ends, self.tokenizer.eos_token_id] if t is not None})

    @property
    def pad_token(self) -> int:
        """A token to fill batches with; masked everywhere, so any will do."""
        pad = self.tokenizer.pad_token_id
        return int(pad if pad is not None else (self.end_tokens or [0])[0])

    @contextlib.contextmanager
    def active(self) -> Iterator[Any]:
        """The model in evaluation mode with this policy's adapter switched on."""
        training = self.model.training
        self.model.eval()
        try:
            with self._adapter(), torch.no_grad():
                yield self.model
        finally:
            self.model.train(training)

    def sample(self, prompts: Sequence[Prompt], samples: int, seed: int) -> list[list[Completion]]:
        """`samples` answers to each prompt by `generate`, in order."""
        size = max(1, self.decoding.batch_size // samples)
        return [
            completions
            for start in range(0, len(prompts), size)
            for completions in self._generate(prompts[start : start + size], samples, derive_seed(seed, start))
        ]

    def log_probs(
        self, prompts: Sequence[Prompt], completions: Sequence[Sequence[Completion]]
    ) -> list[NDArray[np.float64]]:
        """Summed log-probabilities of the sampled token ids, in float32 arithmetic, returned as float64."""
        return [
            self.score_groups([(self.encoder(prompt), [c.token_ids for c in group])])[0]
            for prompt, group in zip(prompts, completions, strict=True)
        ]

    def score_groups(self, groups: Sequence[Group]) -> list[NDArray[np.float64]]:
        """Log-probabilities of each group's completions, in nats; one forward pass for all groups."""
        batch = TokenBatch.collate(groups, self.pad_token, self.share_prompt)
        with self.active() as model:
            logp = completion_log_probs(model, batch.to(model.device)).double().cpu().numpy()
        return list(logp.reshape(len(groups), -1))

    def _adapter(self) -> contextlib.AbstractContextManager[Any]:
        if not hasattr(self.model, "peft_config"):
            return contextlib.nullcontext()
        if self.adapter is None:
            manager: contextlib.AbstractContextManager[Any] = self.model.disable_adapter()
            return manager
        self.model.set_adapter(self.adapter)
        return contextlib.nullcontext()

    def logits_processors(self, ids: torch.Tensor, mask: torch.Tensor) -> list[Any]:  # noqa: ARG002
        """What changes the next token's logits while answers to these prompts, shapes (R, T), are generated."""
        return []

    def _generate(self, prompts: Sequence[Prompt], samples: int, seed: int) -> list[list[Completion]]:
        encoded = [self.encoder(p) for p in prompts]
        batch = TokenBatch.collate([(ids, [[]]) for ids in encoded], self.pad_token)
        width = max(len(e) for e in encoded)  # collate keeps one empty completion column
        with self.active() as model, torch.random.fork_rng(devices=_cuda_devices(model.device)):
            ids, mask = (t[:, :width].to(model.device) for t in (batch.input_ids_RT, batch.attention_mask))
            shared = {}
            if self.share_prompt:
                shared["past_key_values"] = prefilled(model, ids, mask, samples)
            torch.manual_seed(seed)
            ids, mask = ids.repeat_interleave(samples, dim=0), mask.repeat_interleave(samples, dim=0)
            output = model.generate(
                input_ids=ids,
                attention_mask=mask,
                logits_processor=self.logits_processors(ids, mask),
                do_sample=True,
                temperature=self.decoding.temperature,
                top_p=self.decoding.top_p,
                top_k=0,
                max_new_tokens=self.decoding.max_new_tokens,
                pad_token_id=self.pad_token,
                eos_token_id=self.end_tokens or None,
                use_cache=True,
                **shared,
            )
        completions = [self.completion(row) for row in output[:, width:].tolist()]
        return [completions[i * samples : (i + 1) * samples] for i in range(len(prompts))]

    def completion(self, tokens: list[int]) -> Completion:
        """The answer that generated token ids are, up to the first that ends it."""
        ends = set(self.end_tokens)
        stop = next((i for i, token in enumerate(tokens) if token in ends), None)
        finished = stop is not None
        kept = tokens[: stop + 1] if stop is not None else tokens
        text = self.tokenizer.decode(kept, skip_special_tokens=True)
        return Completion(text.strip(), tuple(kept), finished)


def _cuda_devices(device: torch.device) -> list[int]:
    return [device.index or 0] if device.type == "cuda" else []
