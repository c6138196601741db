"""Policies that are Transformers causal LMs, whole or one adapter of a shared model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from comal.errors import PolicyError
from comal.models.tokens import embedding_rows, filler_token
from comal.policies.base import Completion, Prompt, derive_seed
from comal.policies.encoder import PromptEncoder
from comal.policies.prefix import prefilled
from comal.policies.sequences import Group, TokenBatch, completion_log_probs, next_token_logits


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
        in_shards: score by models of which each process holds a part.
    """

    score: int = 64
    share_prompt: bool = False
    in_shards: bool = False


@dataclass(frozen=True, slots=True)
class Draw:
    """What one batch of sampling gave, R rows of T tokens.

    Attributes:
        tokens: of each row, with padding after its end.
        scores: logits that each token was drawn from, after all that the sampler does to them, shape (R, T, V).
        logits: as they came from the model, of the same shape; None, like scores, where nobody asked.
    """

    tokens: list[list[int]]
    scores: torch.Tensor | None = None
    logits: torch.Tensor | None = None


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
        self.in_step = False  # whether all processes have to call the model equally often
        self.mixes = False  # whether logits are replaced on purpose while answers are drawn
        self.agreement: Any = None  # what `comal.policies.door` found

    @property
    def end_tokens(self) -> list[int]:
        """Tokens that end an answer."""
        configured = self.model.generation_config.eos_token_id
        ends = configured if isinstance(configured, list) else [configured]
        rows = embedding_rows(self.model)  # what is beyond them cannot be drawn
        return sorted({t for t in [*ends, self.tokenizer.eos_token_id] if t is not None and 0 <= t < rows})

    @property
    def pad_token(self) -> int:
        """A token to fill batches with; masked everywhere, so any will do."""
        return filler_token(self.tokenizer.pad_token_id, self.end_tokens, embedding_rows(self.model))

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
        batch = self.laid_out(groups, self.share_prompt)
        logp = self.summed(batch).double().cpu().numpy()
        return list(logp.reshape(len(groups), -1))

    def summed(self, batch: TokenBatch) -> torch.Tensor:
        """Log-probability of each completion in nats, shape (completions,), float32."""
        with self.active() as model:
            return completion_log_probs(model, batch)

    def laid_out(self, groups: Sequence[Group], share_prompt: bool) -> TokenBatch:
        """The groups in one of the two layouts, on the model's device."""
        return TokenBatch.collate(groups, self.pad_token, share_prompt).to(self.model.device)

    def logits(self, batch: TokenBatch) -> torch.Tensor:
        """Logits of the token after each column from the prompts' last on, shape (R, C + 1, V), float32."""
        with self.active() as model:
            return next_token_logits(model, batch)

    def encode_answer(self, text: str, finished: bool = True) -> tuple[int, ...]:
        """Token ids of an answer that was not sampled here, with the end-of-sequence token if `finished`."""
        ids = tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        return (*ids, *self.last_token) if finished else ids

    @property
    def last_token(self) -> tuple[int, ...]:
        """The token that ends an answer that is put together here; none where the model has no such token."""
        ends = self.end_tokens
        own = self.tokenizer.eos_token_id
        return (own,) if own in ends else tuple(ends[:1])

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
        drawn = self.draw(prompts, samples, seed, self.decoding.max_new_tokens)
        completions = [self.completion(row) for row in drawn.tokens]
        return [completions[i * samples : (i + 1) * samples] for i in range(len(prompts))]

    def draw(self, prompts: Sequence[Prompt], samples: int, seed: int, longest: int, keep_logits: bool = False) -> Draw:
        """One batch of `samples` answers to each prompt, of `longest` tokens at most.

        Raises:
            PolicyError: the tokenizer writes tokens that the model does not have.
        """
        import transformers

        encoded = [self.encoder(p) for p in prompts]
        self.require_rows(encoded)
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
                generation_config=transformers.GenerationConfig(
                    do_sample=True,
                    temperature=self.decoding.temperature,
                    top_p=self.decoding.top_p,
                    top_k=0,
                    max_new_tokens=longest,
                    pad_token_id=self.pad_token,
                    eos_token_id=self.end_tokens or None,
                    use_cache=True,
                    return_dict_in_generate=True,
                    output_scores=keep_logits,
                    output_logits=keep_logits,
                ),
                **shared,
            )
        tokens = output.sequences[:, width:].tolist()
        if not keep_logits:
            return Draw(tokens)
        return Draw(tokens, torch.stack(output.scores, dim=1).float(), torch.stack(output.logits, dim=1).float())

    def require_rows(self, encoded: Sequence[Sequence[int]]) -> None:
        """Raise PolicyError if prompts have tokens that the model's embedding has no rows for."""
        largest, rows = max((max(ids, default=0) for ids in encoded), default=0), embedding_rows(self.model)
        if largest >= rows:
            raise PolicyError(
                "policy.model",
                f"the tokenizer writes {self.tokenizer.convert_ids_to_tokens(largest)!r} as token {largest}, and the"
                f" model's embedding has {rows} rows; resize it and train the new rows, or name the model's own"
                " tokenizer",
            )

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
