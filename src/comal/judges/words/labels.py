"""Reading which of two labels a language model's reply names, by its first token's probabilities or by its words."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

DECORATION: Final = " \t\r\n*_`'\"()[].:!"
"""What may stand around a label in a reply."""

_ROUNDING: Final = 0.01
"""By how much probabilities that a server rounds may exceed 1 together."""


def first_token_preference(
    alternatives: Sequence[tuple[str, float]], labels: tuple[str, str], min_mass: float
) -> float | None:
    """p(first label) / p(either label), spellings added up; None where both have less than `min_mass` together.

    Several tokens may be shown by one text: "A" and "▁A" of a SentencePiece tokenizer both as `A`. The same entry twice
    is one token. Numbers that cannot be log-probabilities of different tokens are no verdict.

    Args:
        alternatives: tokens that could have begun the reply, with their log-probabilities.
        labels: of the first and the second answer.
        min_mass: least probability of both.
    """
    distinct = list(dict.fromkeys(alternatives))
    if any(log_p > _ROUNDING for _, log_p in distinct) or sum(math.exp(log_p) for _, log_p in distinct) > 1 + _ROUNDING:
        return None  # percentages, or probabilities themselves
    first, second = (
        # Some servers show the marks by which tokenizers write a space.
        sum(math.exp(log_p) for token, log_p in distinct if token.strip().lstrip("▁Ġ") == label)
        for label in labels
    )
    total = first + second
    # Written so that NaN is no verdict either.
    return min(first / total, 1.0) if total > 0 and total >= min_mass else None


def vote(reply: str, labels: tuple[str, str], last_line: str | None) -> bool | None:
    """Whether a reply is for the first answer; None where it does not say strictly what was asked for.

    Args:
        reply: the whole of it.
        labels: of the first and the second answer.
        last_line: what comes before the label in the last line; None where the label is the whole reply.
    """
    text = _without_thoughts(reply).strip()
    if last_line is not None:
        text = text.rpartition("\n")[2]
        begun = re.match(rf"[\s*_#>-]*{re.escape(last_line.strip())}", text, flags=re.IGNORECASE)
        if begun is None:
            return None
        text = text[begun.end() :]
    return {labels[0]: True, labels[1]: False}.get(text.strip(DECORATION))


def _without_thoughts(reply: str) -> str:
    """What a reply says after a reasoning model's thoughts, which some servers leave in it; nothing if they go on.

    Where the chat template opens the thoughts, the reply only closes them.
    """
    thoughts, closed, rest = reply.partition("</think>")
    if closed and (thoughts.lstrip().startswith("<think>") or "<think>" not in thoughts):
        return rest
    return "" if reply.lstrip().startswith("<think>") else reply
