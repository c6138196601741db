"""Adapters as the whole models that they are: W + (α/r) B A in place of W, checked at every step.

Merging changes no distribution but by rounding. What is compared are log-probabilities of tokens, before and after it
and after what was written is loaded again; how much rounding explains is what the check at the door allows.

It is done in place, in the base's own number format and on the CPU, so that there is one model in memory at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from comal.errors import PolicyError
from comal.models.rounding import tolerance_of
from comal.policies.adapter_folder import is_adapter, read_adapter
from comal.policies.adapters import TRAINED, adapted_by, is_tied, refuse_tied
from comal.policies.base import Prompt
from comal.policies.door import difference
from comal.policies.encoder import PromptEncoder
from comal.policies.loading import load_causal_lm, load_tokenizer
from comal.policies.saved import save_checkpoint
from comal.policies.sequences import Group, token_log_probs
from comal.policies.transformers import Decoding, TransformersPolicy

Answered = Sequence[tuple[Prompt, Sequence[int]]]
"""Prompts, each with the tokens of an answer."""

_PROBE = "Name three things that everybody should know about the sea, and say why each of them matters."


@dataclass(frozen=True, slots=True)
class Base:
    """The model that an adapter belongs to.

    Attributes:
        name: folder or hub id.
        dtype: of the weights.
        revision: of the hub id.
        trust_remote_code: run the model's own code.
    """

    name: str
    dtype: torch.dtype
    revision: str | None = None
    trust_remote_code: bool = False

    def adapted_by(self, adapter: str | Path, encoder: PromptEncoder) -> TransformersPolicy:
        """The policy that an adapter's folder makes of it.

        Raises:
            PolicyError: one of the two cannot be loaded, or they do not fit.
        """
        model = load_causal_lm(self.name, self.dtype, self.revision, self.trust_remote_code)
        return TransformersPolicy(adapted_by(model, str(adapter)), encoder, Decoding(), 1, TRAINED)


def quantised(name: str, trust_remote_code: bool = False, revision: str | None = None) -> str | None:
    """By what method a model's weights are quantised, so that nothing can be added to them; None where they are not.

    Args:
        name: folder or hub id, of a model or of an adapter of it.
        trust_remote_code: run the model's own code.
        revision: of the hub id; an adapter names that of its base itself.
    """
    import transformers

    try:
        if is_adapter(name):
            adapter = read_adapter(name)
            name, revision = adapter.base, adapter.revision
        config = transformers.AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=trust_remote_code)
    except Exception:  # loading the model says what is wrong with it
        return None
    found = getattr(config, "quantization_config", None)
    if found is None:
        return None
    method = found.get("quant_method") if isinstance(found, dict) else getattr(found, "quant_method", None)
    return str(getattr(method, "value", method) or "a method that it does not name")


def load_whole(name: str, dtype: torch.dtype, revision: str | None = None, trust_remote_code: bool = False) -> Any:
    """The causal LM of a folder or hub id; an adapter's folder gives the model with the adapter merged into its base.

    Raises:
        PolicyError: it cannot be found or read, or does not fit; an adapter that cannot become part of its base.
    """
    if not is_adapter(name):
        return load_causal_lm(name, dtype, revision, trust_remote_code)
    adapter = read_adapter(name)
    adapter.require_mergeable()
    if (method := quantised(name, trust_remote_code)) is not None:
        raise PolicyError(
            str(name),
            f"the base of this adapter, `{adapter.base}`, is quantised ({method}), and nothing can be added to such"
            " weights; name the base that it was made of in adapter_config.json (base_model_name_or_path)",
        )
    base = Base(adapter.base, dtype, adapter.revision, trust_remote_code)
    encoder = PromptEncoder(load_tokenizer(name, None, trust_remote_code), False, None, len(_PROBE))
    ids = encoder.tokenizer(_PROBE, add_special_tokens=False)["input_ids"]
    whole = merged(base.adapted_by(name, encoder), [(ids[:1], [ids[1:]])], f"the adapter in `{name}`")
    return whole.requires_grad_()  # PEFT had frozen the base


def merged(policy: TransformersPolicy, groups: Sequence[Group], what: str = "the adapter") -> Any:
    """The model of a policy that is an adapter as a whole one; it is changed in place.

    Args:
        policy: an adapter of a model that nothing else uses from now on.
        groups: of which log-probabilities are compared.
        what: begins the message.

    Raises:
        PolicyError: the whole model has other log-probabilities.
    """
    before = _log_probs(policy, groups)
    refuse_tied(policy.model, is_tied(policy.model.get_base_model()), "policy")
    whole = policy.model.merge_and_unload()
    own = TransformersPolicy(whole, policy.encoder, policy.decoding, policy.score_batch)
    coarse = whole.dtype in (torch.bfloat16, torch.float16)
    advice = (
        f"{str(whole.dtype).removeprefix('torch.')} is too coarse for what was added; train with policy.dtype: float32,"
        " or use the adapter beside its base"
        if coarse
        else "its layers do not add up as PEFT merges them; name other policy.lora.target_modules"
    )
    _require_equal(before, _log_probs(own, groups), whole.dtype, f"merging {what} into its model", advice)
    return whole


def write_merged(folder: Path, adapter: Path, base: Base, encoder: PromptEncoder, answered: Answered) -> None:
    """Write an adapter's whole model as a standard checkpoint, and check that it loads as what was trained.

    Args:
        folder: to write; where this fails it is not to be used.
        adapter: its folder.
        base: its model.
        encoder: of the policy; its tokenizer is written.
        answered: of which log-probabilities are compared.

    Raises:
        PolicyError: the whole model has other log-probabilities than the trained one, or the written one has, or the
            written tokenizer makes other tokens.
    """
    groups: list[Group] = [(encoder(prompt), [answer]) for prompt, answer in answered]
    policy = base.adapted_by(adapter, encoder)
    trained = _log_probs(policy, groups)
    save_checkpoint(merged(policy, groups), encoder.tokenizer, folder)
    del policy  # one model at a time
    tokenizer = load_tokenizer(str(folder), None, base.trust_remote_code)
    own = PromptEncoder(tokenizer, encoder.use_template, encoder.system_prompt, encoder.max_tokens)
    other = next((prompt for prompt, _ in answered if own(prompt) != encoder(prompt)), None)
    if other is not None:
        raise PolicyError(
            str(folder), f"the tokenizer that was just written makes other tokens of {other.text[:40]!r}; report it"
        )
    model = load_causal_lm(str(folder), base.dtype, None, base.trust_remote_code).eval()
    loaded = _log_probs(TransformersPolicy(model, own, Decoding(), 1), groups)
    _require_equal(
        trained, loaded, base.dtype, "loading the merged model again",
        "Transformers reads other weights from its files than were written; report it, with the model's name",
    )  # fmt: skip


def _log_probs(policy: TransformersPolicy, groups: Sequence[Group]) -> torch.Tensor:
    """Of every answer's every token, in nats; a group at a time, and so in little memory."""
    found = []
    for group in groups:
        batch = policy.laid_out([group], share_prompt=False)
        found.append(token_log_probs(policy.logits(batch), batch)[batch.segment_RC >= 0].double().cpu())
    return torch.cat(found)


def _require_equal(before: torch.Tensor, after: torch.Tensor, dtype: torch.dtype, doing: str, advice: str) -> None:
    gap, tolerance = difference(before, after), tolerance_of(dtype)
    if not gap.within(tolerance):
        raise PolicyError(
            "policy.lora",
            f"{doing} changes log-probabilities by {gap.mean:.2g} nats a token ({tolerance:g} allowed) and by"
            f" {gap.largest:.2g} at most: {advice}",
        )
