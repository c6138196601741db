"""Which models can compute a prompt once for all of its answers, told by how their attention is made."""

from __future__ import annotations

from typing import Any

from comal.errors import PolicyError
from comal.policies.encoder import PromptEncoder


def require_shareable(model: Any, encoder: PromptEncoder, max_new_tokens: int) -> None:
    """Refuse models whose log-probabilities a custom mask changes.

    Such a mask replaces a model's own window: beyond it a token would see what it should not. Measuring does not always
    tell, since a few tokens stay within a window, and ALiBi differs by little at first.

    Args:
        model: the policy's.
        encoder: of its prompts.
        max_new_tokens: of an answer.

    Raises:
        PolicyError: it cannot share a prompt.
    """
    config = model.config.get_text_config(decoder=True)
    if getattr(config, "num_attention_heads", None) is None:
        raise not_shared("it cannot be computed so (it has no attention to mask)")
    if _counts_columns(config):
        raise not_shared("its attention counts distances by columns (ALiBi), not by positions")
    window = _window(config)
    longest = encoder.max_tokens + max_new_tokens
    if window is not None and window < longest:
        raise not_shared(
            f"its attention has a window of {window} tokens, less than the {longest} of a prompt with its answer"
        )


def not_shared(why: str) -> PolicyError:
    """The message about a model that cannot share a prompt."""
    return PolicyError(
        "training.share_prompt", f"a prompt cannot be shared among its answers with this model: {why}; leave it out"
    )


def _counts_columns(config: Any) -> bool:
    told = getattr(config, "alibi", False) or getattr(getattr(config, "attn_config", None), "alibi", False)
    return bool(told) or config.model_type == "bloom"  # which has it always


def _window(config: Any) -> int | None:
    kinds = getattr(config, "layer_types", None)
    if kinds is not None and not any("sliding" in kind or "chunked" in kind for kind in kinds):
        return None
    if kinds is None and getattr(config, "use_sliding_window", True) is False:
        return None
    sizes = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size", "window_size")]
    return min((size for size in sizes if isinstance(size, int) and size > 0), default=None)
