"""Token ids that a tokenizer's settings can get wrong: padding, and what is put around a plain text."""

from __future__ import annotations

from typing import Any


def filler_token(wanted: int | None, others: list[int], rows: int) -> int:
    """A token to fill masked places with: `wanted`, unless the embedding has no row for it.

    Args:
        wanted: the tokenizer's padding token; many are None, -1, or beyond an embedding that was not resized.
        others: what to take instead, in order; 0 after them.
        rows: of the embedding.
    """
    return next(token for token in [wanted, *others, 0] if token is not None and 0 <= token < rows)


def embedding_rows(network: Any) -> int:
    """How many tokens a model can read."""
    return int(network.get_input_embeddings().weight.shape[0])


def prompt_ids(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a plain text to be continued: with what the tokenizer puts before it, without what it puts after.

    A tokenizer with `add_eos_token` ends every text; what is drawn after that is no continuation.
    """
    ids: list[int] = tokenizer(text)["input_ids"]
    after = _put_after(tokenizer)
    return ids[: len(ids) - after] if after else ids


_PROBE = "a"


def _put_after(tokenizer: Any) -> int:
    """How many tokens the tokenizer puts after a text."""
    whole = list(tokenizer(_PROBE)["input_ids"])
    bare = list(tokenizer(_PROBE, add_special_tokens=False)["input_ids"])
    added = len(whole) - len(bare)
    before = next((k for k in range(added + 1) if whole[k : k + len(bare)] == bare), added)
    return added - before
