"""Reading which label or grade a language model's reply names, by its first token's probabilities or by its words."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Final

DECORATION: Final = " \t\r\n*_`'\"()[].:!"
"""What may stand around a label in a reply."""

_ROUNDING: Final = 0.01
"""By how much probabilities that a server rounds may exceed 1 together."""


def first_token_grade(
    alternatives: Sequence[tuple[str, float]], grades: Mapping[str, float], min_mass: float
) -> float | None:
    """Mean of the grades, each as probable as its word; None where all words have less than `min_mass` together.

    Spellings are added up. Several tokens may be shown by one text: "A" and "▁A" of a SentencePiece tokenizer both as
    `A`. The same entry twice is one token. Numbers that cannot be log-probabilities of different tokens are no verdict.

    Args:
        alternatives: tokens that could have begun the reply, with their log-probabilities.
        grades: Pr(first ≻ second) by word.
        min_mass: least probability of all words.
    """
    distinct = list(dict.fromkeys(alternatives))
    if any(log_p > _ROUNDING for _, log_p in distinct) or sum(math.exp(log_p) for _, log_p in distinct) > 1 + _ROUNDING:
        return None  # percentages, or probabilities themselves
    masses = {
        # Some servers show the marks by which tokenizers write a space.
        word: sum(math.exp(log_p) for token, log_p in distinct if token.strip().lstrip("▁Ġ") == word)
        for word in grades
    }
    total = sum(masses.values())
    # Written so that NaN is no verdict either.
    if not (total > 0 and total >= min_mass):
        return None
    return min(sum(mass * grades[word] for word, mass in masses.items()) / total, 1.0)


def voted_grade(
    reply: str, grades: Mapping[str, float], last_line: str | None = None, field: str | None = None
) -> float | None:
    """The grade that a reply gives; None where it does not say strictly what was asked for.

    Args:
        reply: the whole of it.
        grades: Pr(first ≻ second) by word.
        last_line: what comes before the word in the last line; None where the word is the whole reply.
        field: the key of the word in the JSON object that the reply ends with; None where it is no JSON.
    """
    text = _without_thoughts(reply).strip()
    if field is not None:
        return grades.get(_in_json(text, field))
    if last_line is not None:
        text = text.rpartition("\n")[2]
        begun = re.match(rf"[\s*_#>-]*{re.escape(last_line.strip())}", text, flags=re.IGNORECASE)
        if begun is None:
            return None
        text = text[begun.end() :]
    return grades.get(text.strip(DECORATION))


def _in_json(text: str, field: str) -> str:
    """The value of a key in the flat JSON object at the end of a text, as a word; empty without one."""
    found = re.search(r"\{[^{}]*\}\s*(?:```)?$", text)
    try:
        value = json.loads(found[0].removesuffix("```")) if found else {}
    except ValueError:
        return ""
    given = value.get(field)
    return "" if isinstance(given, bool) else f"{given:g}" if isinstance(given, (int, float)) else str(given)


def _without_thoughts(reply: str) -> str:
    """What a reply says after a reasoning model's thoughts, which some servers leave in it; nothing if they go on.

    Where the chat template opens the thoughts, the reply only closes them.
    """
    thoughts, closed, rest = reply.partition("</think>")
    if closed and (thoughts.lstrip().startswith("<think>") or "<think>" not in thoughts):
        return rest
    return "" if reply.lstrip().startswith("<think>") else reply
