"""Token batches and sequence log-probabilities: the one code path for cached and live policies.

Layout of a batch, so that all completions begin in one column: prompts padded on the left, completions on the right.

Shape suffixes: N sequences, T tokens of prompt and completion, C tokens of completion, V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Sequences ready for a causal LM.

    Attributes:
        input_ids_NT: token ids.
        attention_mask_NT: 1 on tokens, 0 on padding.
        completion_mask_NC: 1 on the completion's tokens, in the last C columns.
    """

    input_ids_NT: Tensor
    attention_mask_NT: Tensor
    completion_mask_NC: Tensor

    @classmethod
    def collate(cls, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], pad: int) -> TokenBatch:
        """Pad prompts on the left and completions on the right."""
        left = max(len(p) for p in prompts)
        right = max(1, *(len(c) for c in completions))
        ids = torch.full((len(prompts), left + right), pad, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            ids[row, left - len(prompt) : left] = torch.tensor(list(prompt), dtype=torch.long)
            ids[row, left : left + len(completion)] = torch.tensor(list(completion), dtype=torch.long)
            mask[row, left - len(prompt) : left + len(completion)] = 1
        return cls(ids, mask, mask[:, left:].clone())

    def to(self, device: torch.device) -> TokenBatch:
        """The same batch on `device`."""
        return TokenBatch(*(getattr(self, f).to(device) for f in self.__slots__))


def completion_logits(model: Any, batch: TokenBatch) -> Tensor:
    """Logits that predict the completion's tokens, shape (N, C, V), in the model's precision."""
    columns = batch.completion_mask_NC.shape[1]
    positions = (batch.attention_mask_NT.cumsum(dim=1) - 1).clamp(min=0)
    # Only the completion's columns are projected onto the vocabulary: that projection is most of the memory.
    keep = {"logits_to_keep": columns + 1} if _can_keep(type(_unwrapped(model))) else {}
    output = model(
        input_ids=batch.input_ids_NT,
        attention_mask=batch.attention_mask_NT,
        position_ids=positions,
        use_cache=False,
        **keep,
    )
    logits: Tensor = output.logits
    return logits[:, -columns - 1 : -1]


def sequence_log_probs(model: Any, batch: TokenBatch) -> Tensor:
    """Log-probability of each completion given its prompt, summed over its tokens, in nats: shape (N,), float32."""
    logits_NCV = completion_logits(model, batch).float()
    columns = batch.completion_mask_NC.shape[1]
    targets_NC1 = batch.input_ids_NT[:, -columns:].unsqueeze(-1)
    token_logp_NC = logits_NCV.gather(-1, targets_NC1).squeeze(-1) - logits_NCV.logsumexp(dim=-1)
    return (token_logp_NC * batch.completion_mask_NC).sum(dim=1)


def _unwrapped(model: Any) -> Any:
    while hasattr(model, "module"):
        model = model.module
    return model.get_base_model() if hasattr(model, "get_base_model") else model


_KEEPS: dict[type, bool] = {}


def _can_keep(model_class: type) -> bool:
    if model_class not in _KEEPS:
        forward = getattr(model_class, "forward")  # noqa: B009 - `type` has no such attribute for mypy
        _KEEPS[model_class] = "logits_to_keep" in inspect.signature(forward).parameters
    return _KEEPS[model_class]
