"""Token batches and answer log-probabilities: the one code path for cached and live policies.

A *group* is a prompt with its K completions. Two layouts give the same numbers:

    one row an answer     prompt | completion                          any attention
    one row a prompt      prompt | completion 1 | ... | completion K   (`share_prompt`) a prompt is computed once; each
                          completion sees the prompt and itself, by a custom attention mask and positions of its own

Prompts are padded on the left and completions on the right, so that all completions begin in one column.

Shape suffixes: R rows, T tokens a row, C columns from the first completion's on, S completions a row, V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from comal.policies.head import CHUNK, ChosenLogProbs, head_of

Group = tuple[Sequence[int], Sequence[Sequence[int]]]
"""Token ids of a prompt and of its completions."""


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Rows ready for a causal LM.

    Attributes:
        input_ids_RT: token ids.
        attention_mask: 1 on tokens and 0 on padding, shape (R, T); or which token sees which, shape (R, 1, T, T), bool.
        position_ids_RT: a completion's positions follow its prompt's.
        segment_RC: which of its row's completions a column belongs to; -1 on padding.
        predictor_RC: the column that predicts each column's token, counted from the prompt's last.
        segments: completions a row (S).
    """

    input_ids_RT: Tensor
    attention_mask: Tensor
    position_ids_RT: Tensor
    segment_RC: Tensor
    predictor_RC: Tensor
    segments: int

    @classmethod
    def collate(cls, groups: Sequence[Group], pad: int, share_prompt: bool = False) -> TokenBatch:
        """Lay groups out; all groups must have the same number of completions."""
        rows: list[Group]
        if share_prompt:
            rows = list(groups)
        else:
            rows = [(prompt, [completion]) for prompt, completions in groups for completion in completions]
        left = max(len(prompt) for prompt, _ in rows)
        right = max(1, *(sum(map(len, completions)) for _, completions in rows))
        # Filled as arrays: with a tensor for every piece, a small model's batches would cost as much as its training.
        ids = np.full((len(rows), left + right), pad, dtype=np.int64)
        real = np.zeros_like(ids)
        positions = np.zeros_like(ids)
        segment = np.full((len(rows), right), -1, dtype=np.int64)
        predictor = np.zeros((len(rows), right), dtype=np.int64)
        for r, (prompt, completions) in enumerate(rows):
            ids[r, left - len(prompt) : left] = prompt
            real[r, left - len(prompt) : left] = 1
            positions[r, left - len(prompt) : left] = np.arange(len(prompt))
            start = 0
            for s, completion in enumerate(completions):
                end = start + len(completion)
                ids[r, left + start : left + end] = completion
                real[r, left + start : left + end] = 1
                positions[r, left + start : left + end] = np.arange(len(prompt), len(prompt) + len(completion))
                segment[r, start:end] = s
                predictor[r, start:end] = np.arange(start, end)
                predictor[r, start : start + 1] = 0  # the prompt's last token predicts every completion's first
                start = end
        ids_RT, real_RT, positions_RT, segment_RC, predictor_RC = map(
            torch.from_numpy, (ids, real, positions, segment, predictor)
        )
        mask = _who_sees_whom(real_RT, segment_RC, left) if share_prompt else real_RT
        return cls(ids_RT, mask, positions_RT, segment_RC, predictor_RC, len(rows[0][1]))

    def to(self, device: torch.device) -> TokenBatch:
        """The same batch on `device`."""
        return TokenBatch.of({k: v.to(device) if isinstance(v, Tensor) else v for k, v in self.tensors().items()})

    def tensors(self) -> dict[str, Any]:
        """The fields by name, for a data loader's batch."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> TokenBatch:
        """From what `tensors` gave, among other things."""
        return cls(**{name: fields[name] for name in cls.__slots__})


def next_token_logits(model: Any, batch: TokenBatch) -> Tensor:
    """Logits of the token after each column from the prompts' last on, shape (R, C + 1, V), float32."""
    columns = batch.segment_RC.shape[1]
    logits: Tensor = _forward(model, batch).logits[:, -columns - 1 :].float()
    return logits


def _forward(model: Any, batch: TokenBatch) -> Any:
    columns = batch.segment_RC.shape[1]
    # Only the completions' columns are projected onto the vocabulary: that projection is most of the memory.
    keep = {"logits_to_keep": columns + 1} if _can_keep(type(unwrapped(model))) else {}
    mask = batch.attention_mask
    if mask.ndim == 4:
        dtype = next(unwrapped(model).parameters()).dtype
        mask = torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)
    return model(
        input_ids=batch.input_ids_RT,
        attention_mask=mask,
        position_ids=batch.position_ids_RT,
        use_cache=False,
        **keep,
    )


def token_log_probs(logits_RCV: Tensor, batch: TokenBatch) -> Tensor:
    """Log-probability of every completion token, in nats, shape (R, C), float32; 0 on padding."""
    columns = batch.segment_RC.shape[1]
    normaliser_RC = logits_RCV.logsumexp(dim=-1).gather(1, batch.predictor_RC)
    targets_RC = batch.input_ids_RT[:, -columns:]
    rows = torch.arange(len(targets_RC), device=targets_RC.device).unsqueeze(1)
    chosen_RC = logits_RCV[rows, batch.predictor_RC, targets_RC]
    return torch.where(batch.segment_RC >= 0, chosen_RC - normaliser_RC, 0.0)


def summed_log_probs(logits_RCV: Tensor, batch: TokenBatch) -> Tensor:
    """Log-probability of each completion, summed over its tokens, in nats; shape (completions,), group by group."""
    return _summed(token_log_probs(logits_RCV, batch), batch)


def _summed(token_logp_RC: Tensor, batch: TokenBatch) -> Tensor:
    summed_RS = torch.zeros((len(token_logp_RC), batch.segments), device=token_logp_RC.device)
    return summed_RS.scatter_add(1, batch.segment_RC.clamp(min=0), token_logp_RC).flatten()


def completion_log_probs(model: Any, batch: TokenBatch, half_life: float | None = None) -> Tensor:
    """`summed_log_probs` of the model's logits: log pi(completion | prompt), shape (completions,), float32.

    Args:
        model: a causal LM.
        batch: of its inputs.
        half_life: tokens after which a token's gradient is halved, values being what they are; None: all count alike.
    """
    token_logp_RC = completion_token_log_probs(model, batch)
    if half_life is not None:
        token_logp_RC = _with_half_life(token_logp_RC, batch, half_life)
    return _summed(token_logp_RC, batch)


def _with_half_life(token_logp_RC: Tensor, batch: TokenBatch, half_life: float) -> Tensor:
    columns = batch.segment_RC.shape[1]
    position_RC = batch.position_ids_RT[:, -columns:]
    token_RC = (position_RC - position_RC[:, :1]).clamp(min=0)  # a row's completions all begin at one position
    weight_RC = torch.exp2(-token_RC / half_life)
    return weight_RC * token_logp_RC + (1 - weight_RC) * token_logp_RC.detach()


def completion_token_log_probs(model: Any, batch: TokenBatch) -> Tensor:
    """`token_log_probs` of the model's logits, shape (R, C), float32; of many logits never all at once."""
    R, C = batch.segment_RC.shape
    network = unwrapped(model)
    head = head_of(network) if R * (C + 1) * network.config.get_text_config().vocab_size > CHUNK else None
    if head is None:
        return token_log_probs(next_token_logits(model, batch), batch)
    row_N, column_N = (batch.segment_RC >= 0).nonzero(as_tuple=True)
    predictor_N = batch.predictor_RC[row_N, column_N]
    chosen = ChosenLogProbs(
        network,
        head,
        lambda hidden_RTH: hidden_RTH[:, -C - 1 :][row_N, predictor_N],
        batch.input_ids_RT[:, -C:][row_N, column_N],
    )
    token_logp_N = chosen.run(lambda: _forward(model, batch))
    return torch.zeros((R, C), device=token_logp_N.device).index_put((row_N, column_N), token_logp_N)


def _who_sees_whom(real_RT: Tensor, segment_RC: Tensor, left: int) -> Tensor:
    """A token sees the prompt and its own completion, up to itself: shape (R, 1, T, T), bool."""
    count = real_RT.shape[1]
    prompt_RL = torch.full((len(real_RT), left), -1)
    segment_RT = torch.cat([prompt_RL, segment_RC], dim=1)
    in_prompt_T = torch.arange(count) < left
    same = segment_RT[:, :, None] == segment_RT[:, None, :]
    sees = (same | in_prompt_T[None, None, :]) & real_RT[:, None, :].bool()
    sees &= torch.ones(count, count, dtype=torch.bool).tril()
    sees |= torch.eye(count, dtype=torch.bool)  # a row of the softmax without any entry would be NaN
    return sees.unsqueeze(1)


def unwrapped(model: Any) -> Any:
    """The causal LM itself, of a model within wrappers and with adapters."""
    while hasattr(model, "module"):
        model = model.module
    return model.get_base_model() if hasattr(model, "get_base_model") else model


_KEEPS: dict[type, bool] = {}


def _can_keep(model_class: type) -> bool:
    if model_class not in _KEEPS:
        forward = getattr(model_class, "forward")  # noqa: B009 - `type` has no such attribute for mypy
        _KEEPS[model_class] = "logits_to_keep" in inspect.signature(forward).parameters
    return _KEEPS[model_class]
