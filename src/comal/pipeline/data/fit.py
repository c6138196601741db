"""Prompts that a policy can be shown: those its chat template takes, none longer than it may be.

What is done about longer ones is done to the run's prompts themselves, so that the judge is shown what the policy was.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comal.errors import DataError, PolicyError
from comal.pipeline.data.long_prompts import long_line
from comal.pipeline.data.prompts import Pair, PromptSplits
from comal.policies.base import Prompt
from comal.policies.encoder import PromptEncoder, PromptFormat
from comal.policies.loading import load_tokenizer
from comal.recipes.settings import PolicySettings

logger = logging.getLogger(__name__)

_USES = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Fitted:
    """Prompts that fit, and what was done for that.

    Attributes:
        splits: the prompts.
        rule: what was done to longer ones.
        limit: tokens that a prompt may have.
        long: how many of each use were longer.
        longest: tokens of the longest of `splits`.
        same: how many are left out since, cut, they are another one; what is held out stays out of the others.
    """

    splits: PromptSplits
    rule: str
    limit: int
    long: dict[str, int]
    longest: int
    same: int = 0

    def to_json(self) -> dict[str, Any]:
        """What is kept of it beside the prompts."""
        found = {"rule": self.rule, "max_prompt_tokens": self.limit, "long": self.long, "longest": self.longest}
        return found | ({"same": self.same} if self.same else {})

    def line(self) -> str | None:
        """One sentence; None where all prompts fitted."""
        return long_line(self.to_json())


def encoder_of(policy: PolicySettings, folder: str | None = None) -> PromptEncoder:
    """The encoder of a policy, with the tokenizer in `folder` or of its model; loads no weights.

    Raises:
        PolicyError: the tokenizer cannot be loaded, or has no chat template for the system prompt.
    """
    name = folder or policy.model
    assert name is not None
    tokenizer = load_tokenizer(name, policy.revision if folder is None else None, policy.trust_remote_code)
    return prompt_format(policy).encoder(tokenizer, name)


def prompt_format(policy: PolicySettings) -> PromptFormat:
    """What a policy gets to read of a prompt."""
    return PromptFormat(policy.chat_template, policy.system_prompt, policy.max_prompt_tokens)


def fit_prompts(splits: PromptSplits, encoder: PromptEncoder, policy: PolicySettings) -> Fitted:
    """The prompts as `policy.long_prompts` has them.

    Raises:
        PolicyError: the chat template refuses a prompt; one is too long, and such are refused or cannot be cut.
        DataError: too few are left.
    """
    long = dict.fromkeys(_USES, 0)
    longest = same = 0
    kept: dict[str, tuple[Prompt, ...]] = {}
    seen: set[str] = set()
    for use in reversed(_USES):  # what is held out stays, and is left out of the others
        prompts = []
        for prompt in getattr(splits, use):
            fitted = _fit(prompt, encoder, policy)
            long[use] += fitted is not prompt
            if fitted is None:
                continue
            if fitted.id in seen:
                same += 1
                continue
            seen.add(fitted.id)
            prompts.append(fitted)
            longest = max(longest, len(encoder(fitted)))
        if len(prompts) < (1 if use == "train" else 2):
            raise DataError(
                f"prompts.{use}",
                f"{len(prompts)} are left, since {long[use]} are longer than policy.max_prompt_tokens"
                f" ({encoder.max_tokens}){' and, cut, are the same as others' if same else ''}; raise it"
                f"{'' if same else ', or set policy.long_prompts to cut'}",
            )
        kept[use] = tuple(prompts)
    return Fitted(PromptSplits(**kept), policy.long_prompts, encoder.max_tokens, long, longest, same)


def fit_pairs(pairs: Sequence[Pair], encoder: PromptEncoder, policy: PolicySettings) -> list[Pair]:
    """The supervised pairs whose prompts fit, likewise.

    Raises:
        PolicyError: as of `fit_prompts`.
        DataError: none is left.
    """
    found = [(pair, _fit(pair.prompt, encoder, policy)) for pair in pairs]
    kept = [Pair(prompt, pair.answer) for pair, prompt in found if prompt is not None]
    if not kept:
        raise DataError("supervised.data", "all prompts are longer than policy.max_prompt_tokens; raise it")
    return kept


def require_positions(longest: int, policy: PolicySettings, folder: Path | str) -> None:
    """Refuse prompts whose answers would go beyond the positions that the model in `folder` was made for.

    Raises:
        PolicyError: the longest prompt does.
    """
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(str(folder), trust_remote_code=policy.trust_remote_code)
    except Exception:  # loading the model says what is wrong with it
        return
    limit = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)
    if isinstance(limit, int) and limit > 0 and longest + policy.max_new_tokens > limit:
        raise PolicyError(
            "policy.max_new_tokens",
            f"the longest prompt has {longest} tokens, and with an answer of {policy.max_new_tokens} it goes beyond the"
            f" {limit} positions that `{folder}` was made for; lower max_new_tokens, or max_prompt_tokens to"
            f" {max(limit - policy.max_new_tokens, 0)} at most",
        )


def _fit(prompt: Prompt, encoder: PromptEncoder, policy: PolicySettings) -> Prompt | None:
    """The prompt itself, as it is cut, or None for one that is left out."""
    if not encoder.is_long(prompt):
        return prompt
    if policy.long_prompts == "refuse":
        raise PolicyError(
            "policy.max_prompt_tokens",
            f"the prompt {prompt.text[:40]!r} has {len(encoder.whole(prompt))} tokens, more than {encoder.max_tokens};"
            " raise it, or set policy.long_prompts to cut or drop",
        )
    return None if policy.long_prompts == "drop" else encoder.cut(prompt)
