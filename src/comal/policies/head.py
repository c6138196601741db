"""Log-probabilities of chosen tokens without all logits at once: the head in chunks, computed again backwards.

A model's logits are tail(head(h)) of its last hidden states h. A float32 tensor of them over all tokens and the whole
vocabulary is most of the memory of training, and one number a token is wanted of it:

    log pi(token) = tail(head(h))[token] - logsumexp tail(head(h))

Here so many positions at a time as make `CHUNK` logits are projected, and only the result is kept; the backward pass
projects them again. The sum over chunks is the plain gradient, to rounding. It happens inside of the model's own
forward pass, in the place of its head, so that what wraps a model (autocast, sharding, adapters) is in effect as ever.

What comes after the head is found out once for each model, by what it makes of known numbers, and held against its
own logits: nothing, a constant factor (Cohere, Granite), or a soft cap c · tanh(· / c) (Gemma 2). Where it is anything
else, the head is not taken apart and all logits are computed.

Shape suffixes as in `comal.policies.sequences`; N positions, H hidden width.
"""

from __future__ import annotations

import contextlib
import math
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from comal.models.rounding import multiplied_in

CHUNK = 2**24
"""Logits computed at once; so many are computed in one go as ever. 64 MiB in float32, of which several are alive."""

_KNOWN = (1.0, 6e4, -2.5, 0.0)
"""Numbers put in the place of logits, below float16's largest: a factor is seen at the first, a cap at the second."""
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-4, torch.bfloat16: 5e-2, torch.float16: 5e-3}
"""Of logits by two ways, relative to the largest."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a model does with its last hidden states, besides the projection that its head's module is.

    Attributes:
        rows: of the head: how many logits there are.
        factor: multiplies them.
        cap: bounds them smoothly; None: not at all.
    """

    rows: int
    factor: float = 1.0
    cap: float | None = None

    def tail(self, logits: Tensor) -> Tensor:
        """Logits of the head as those of the model."""
        if self.cap is not None:
            return torch.tanh(logits / self.cap) * self.cap
        return logits if self.factor == 1.0 else logits * self.factor


_heads: weakref.WeakKeyDictionary[Any, Head | None] = weakref.WeakKeyDictionary()


def head_of(model: Any) -> Head | None:
    """What a model's head is; None where it cannot be taken apart.

    The first call for a model takes two forward passes of four tokens: for one that will be sharded, make it before.

    Args:
        model: a causal LM without wrappers.
    """
    if model not in _heads:
        _heads[model] = _found_out(model)
    return _heads[model]


def _found_out(model: Any) -> Head | None:
    projection = model.get_output_embeddings()
    if projection is None:
        return None
    embedding = model.get_input_embeddings().weight
    tokens = torch.arange(4, device=embedding.device).clamp(max=len(embedding) - 1).unsqueeze(0)
    seen: list[Tensor] = []
    project = projection.forward

    def known(hidden: Tensor) -> Tensor:
        seen.append(project(hidden))  # within the model's own pass: of one in shards the head is gathered only there
        return torch.tensor(_KNOWN, device=hidden.device).expand(*hidden.shape[:-1], len(_KNOWN))

    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            own = model(input_ids=tokens, use_cache=False).logits.float()
            with _in_place_of(projection, known):
                made = model(input_ids=tokens, use_cache=False).logits
            head = _told_by(made, own.shape[-1])
            if head is None or len(seen) != 1:
                return None
            ours = head.tail(seen[0]).float()
        weight = next(projection.parameters())
        tolerance = _TOLERANCE.get(multiplied_in(weight.dtype, weight.device), 5e-2) * float(own.abs().max())
        return head if ours.shape == own.shape and float((ours - own).abs().max()) <= tolerance else None
    except (RuntimeError, IndexError, ValueError, TypeError):  # a model that does more with its logits than we know
        return None
    finally:
        model.train(training)


def _told_by(made: Tensor, rows: int) -> Head | None:
    if made.shape[-1] != len(_KNOWN):
        return None
    found = made.reshape(-1, len(_KNOWN))[0].double().tolist()
    for head in (Head(rows), Head(rows, factor=found[0]), Head(rows, cap=found[1] or None)):
        expected = head.tail(torch.tensor(_KNOWN, dtype=torch.float64)).tolist()
        if all(math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-6) for a, b in zip(found, expected, strict=True)):
            return head
    return None


@contextlib.contextmanager
def _in_place_of(head: Any, function: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """`function` is what the head does; hooks on it stay in effect."""
    before = vars(head).get("forward")
    head.forward = function
    try:
        yield
    finally:
        if before is None:
            del head.forward
        else:
            head.forward = before


class ChosenLogProbs:
    """Takes the place of a model's head for one forward pass, and computes log-probabilities of chosen tokens.

    Args:
        model: without wrappers.
        head: what `head_of` says of it.
        choose: from the hidden states that reach the head to those of the N positions, shape (N, H).
        targets_N: the chosen tokens.
    """

    def __init__(self, model: Any, head: Head, choose: Callable[[Tensor], Tensor], targets_N: Tensor) -> None:
        self.head = head
        self.choose = choose
        self.targets_N = targets_N
        self._module = model.get_output_embeddings()
        self._project = self._module.forward
        self._found: Tensor | None = None

    def run(self, forward: Callable[[], Any]) -> Tensor:
        """Log-probabilities in nats, shape (N,), float32, by a forward pass of the model."""
        with _in_place_of(self._module, self):
            output = forward()
        assert self._found is not None
        # Sharding hooks into the backward pass by what the model puts out: the result depends on it, by nothing.
        nothing: Tensor = 0.0 * output.logits.float().sum()
        return self._found + nothing

    def __call__(self, hidden: Tensor) -> Tensor:
        """What the model is given for logits: zeros, no wider than `head_of` tried it with."""
        hidden_NH = self.choose(hidden)
        count = max(1, math.ceil(len(hidden_NH) * self.head.rows / CHUNK))
        size = max(1, math.ceil(len(hidden_NH) / count))
        parts = zip(torch.split(hidden_NH, size), torch.split(self.targets_N, size), strict=True)
        if torch.is_grad_enabled():
            found = [checkpoint(self._chosen, *part, use_reentrant=False) for part in parts]
        else:
            found = [self._chosen(*part) for part in parts]
        self._found = torch.cat(found)
        return hidden.new_zeros((*hidden.shape[:-1], len(_KNOWN))) + 0.0 * self._found.sum().to(hidden.dtype)

    def _chosen(self, hidden_NH: Tensor, targets_N: Tensor) -> Tensor:
        logits_NV = self.head.tail(self._project(hidden_NH)).float()
        chosen_N = logits_NV.gather(1, targets_N.unsqueeze(1)).squeeze(1)
        result: Tensor = chosen_N - logits_NV.logsumexp(dim=1)
        return result
