"""A geometric mixture of causal LMs, sampled by mixing their logits token by token.

    mu(y_t | x, y_<t) ∝ prod_r pi_r(y_t | x, y_<t)**weight_r

Every prefix is normalised on its own, so this is the *locally* normalised geometric mixture. The sequence-level one,
prod_r pi_r(y | x)**weight_r / Z(x), cannot be sampled token by token: mu(y) is that product over the normalisers of
y's own prefixes, which are smaller where the members disagree, so mu prefers answers through prefixes on which they
disagree. The two are equal for answers of one token, and where members differ by no more than a factor a sequence.

For Nash-MD (Munos et al. 2023, who sample like this too) the anchor stays the sequence-level mixture, which needs
log-probabilities only, and the opponent is mu. A point of rest is then the best response to mu,
pi ∝ reference · exp(P(. > mu) / tau), instead of that to the sequence-level mixture. Both opponents tend to pi, and so
both points of rest to the regularised Nash policy, as the reference's weight eta·tau tends to 0.

Log-probabilities of samples are those of mu: what importance weights and the pinned constant need.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from comal.policies.sequences import TokenBatch, summed_log_probs
from comal.policies.transformers import TransformersPolicy


class MixedPolicy(TransformersPolicy):
    """Several policies of one tokenizer as one. Models of their own, or adapters of one model.

    Args:
        members: (weight, policy), weights summing to 1. The first member's end tokens and decoding hold.
    """

    def __init__(self, members: Sequence[tuple[float, TransformersPolicy]]) -> None:
        # Adapters go first: while the model generates with adapters disabled, none of them could be switched on.
        self.members = tuple(sorted(members, key=lambda member: member[1].adapter is None))
        first = self.members[0][1]
        super().__init__(
            first.model, first.encoder, first.decoding, first.score_batch, first.adapter, first.share_prompt
        )
        self.mixes = True

    def logits(self, batch: TokenBatch) -> torch.Tensor:
        """Logits of the mixture; one forward pass a member."""
        mixed: torch.Tensor | None = None
        for weight, member in self.members:
            logits = weight * member.logits(batch)
            mixed = logits if mixed is None else mixed + logits
        assert mixed is not None
        return mixed

    def summed(self, batch: TokenBatch) -> torch.Tensor:
        """Log-probability of each completion; of a mixture's tokens only its whole logits know it."""
        return summed_log_probs(self.logits(batch), batch)

    def logits_processors(self, ids: torch.Tensor, mask: torch.Tensor) -> list[Any]:  # noqa: ARG002
        """One that replaces the first member's logits by the mixture's, before temperature and top-p."""
        return [_Mixer(self, mask)]


class _Mixer:
    """Runs the other members beside the one that generates, each with a cache of its own."""

    def __init__(self, mixture: MixedPolicy, mask: torch.Tensor) -> None:
        import transformers

        self.mixture = mixture
        self.mask = mask
        self.seen = 0
        self.caches = [transformers.DynamicCache(config=m.model.config) for _, m in mixture.members[1:]]

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Logits of the next token, shape (R, V), given all tokens so far, (R, T), and the first member's logits."""
        grown = ids.shape[1] - self.mask.shape[1]
        if grown > 0:  # what follows a row's end is thrown away, so it need not be masked
            self.mask = torch.cat([self.mask, self.mask.new_ones((len(ids), grown))], dim=1)
        positions = (self.mask.cumsum(dim=1) - 1).clamp(min=0)
        (weight, first), *others = self.mixture.members
        mixed = weight * scores
        for (share, member), cache in zip(others, self.caches, strict=True):
            with member.active() as model:
                output = model(
                    input_ids=ids[:, self.seen :],
                    attention_mask=self.mask,
                    position_ids=positions[:, self.seen :],
                    past_key_values=cache,
                    use_cache=True,
                )
            mixed = mixed + share * output.logits[:, -1].to(scores)
        self.seen = ids.shape[1]
        with first.active():  # an adapter that is switched on stays so
            return mixed
