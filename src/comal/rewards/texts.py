"""Prompts and answers as trainers hold them, texts or lists of chat messages, in the words a judge is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from comal.errors import DataError
from comal.policies.base import Prompt

Written = str | Sequence[Any]
"""A text, or chat messages: mappings or objects with `role` and `content`."""


def prompt_text(prompt: Written, place: str = "prompt") -> str:
    """The text itself, the only message's, or a transcript of several.

    Raises:
        DataError: neither a text nor messages of text.
    """
    if isinstance(prompt, str):
        return prompt
    return Prompt(_messages(prompt, place)).text


def answer_text(answer: Written, place: str = "completion") -> str:
    """The text itself, or what the messages say; of several, such as turns with tools, a transcript.

    Raises:
        DataError: neither a text nor messages of text.
    """
    return prompt_text(answer, place)


def _messages(given: Sequence[Any], place: str) -> tuple[Mapping[str, str], ...]:
    if not isinstance(given, Sequence) or not given:
        raise DataError(place, f"expected a text or a list of chat messages, got {given!r:.60}")
    return tuple(_message(message, f"{place}[{number}]") for number, message in enumerate(given))


def _message(given: Any, place: str) -> Mapping[str, str]:
    if isinstance(given, Mapping):
        role, content = given.get("role"), given.get("content")
    else:
        role, content = getattr(given, "role", None), getattr(given, "content", None)
    if content is None and isinstance(role, str):  # a turn of tool calls only
        content = ""
    if isinstance(content, (list, tuple)):  # content parts
        parts = [part.get("text") if isinstance(part, Mapping) else getattr(part, "text", None) for part in content]
        if not all(isinstance(part, str) for part in parts):
            raise DataError(place, "has a part that is no text, which a judge of texts cannot be shown")
        content = "".join(map(str, parts))
    if not isinstance(role, str) or not isinstance(content, str):
        raise DataError(place, f"expected a chat message with `role` and `content`, got {given!r:.60}")
    return {"role": role, "content": content}
