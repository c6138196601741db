"""Keys of services: from the environment only, refused in settings, taken out of whatever is shown."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any, Final

from comal.errors import JudgeError, near_match

_KEY_LIKE: Final = re.compile(r"\b(?:sk-|pk-|rk-|gsk_|xai-|hf_|AIza)[\w*\-]{12,}")  # masked ones included
_LEAST_SECRET = 16  # characters; the `EMPTY` that many local servers are given is no secret


def without_key(text: str, key: str | None) -> str:
    """`text` with the key taken out, and what looks like one: services show parts of a wrong one."""
    return _KEY_LIKE.sub("[key]", text.replace(key, "[key]") if key else text)


def refuse_key(variable: str, settings: Mapping[str, Any]) -> None:
    """Raise ValueError where `variable` is no name of one, or a setting holds what looks like a key.

    The message does not repeat it: settings, and messages, are written to files.
    """
    if not re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+", variable):
        raise ValueError(
            "api_key_env: need the name of an environment variable, like OPENAI_API_KEY; the key itself belongs into"
            " that variable and not into the settings"
        )
    for name, value in settings.items():
        if _KEY_LIKE.search(json.dumps(value, default=str)):
            raise ValueError(f"{name}: this looks like a key, which must not be in the settings")


def read_key(place: str, variable: str, settings: Mapping[str, Any], *, needed: bool) -> str | None:
    """The key in the environment; None where there is none.

    Raises:
        JudgeError: it is `needed` and not there, cannot be sent, or is written in the settings.
    """
    key = os.environ.get(variable, "").strip()
    if not key:
        if needed:
            similar = near_match(variable, [name for name in os.environ if name.endswith("_KEY")])
            hint = similar.partition(" Known:")[0]
            raise JudgeError(
                place, f"the service wants a key, and the environment variable {variable} is not set.{hint}"
            )
        return None
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise JudgeError(place, f"what the environment variable {variable} holds cannot be a key")
    if len(key) >= _LEAST_SECRET and key in json.dumps(dict(settings), default=str):
        raise JudgeError(place, f"the key of {variable} is written in the settings; take it out of there")
    return key
