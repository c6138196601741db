"""The whole of what is asked: an instruction with its `input`, messages with all of their parts, or an error.

A part that is dropped changes the task while every figure stays beautiful: the policy answers, and the judge reads,
another question than the row asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comal.errors import DataError

INPUT = "input"
_INSTRUCTION = "instruction"
_OF_CHATS = ("tools", "functions", "documents", "images", "image", "videos", "video", "audios", "audio",
             "chat_template_kwargs")  # fmt: skip
_BEFORE_IT = ("system", "system_prompt", "history")
_BESIDE_IT = ("context", "inputs")
_ASKING = (_INSTRUCTION, "question", "query")
"""Columns that are a question alone; a `prompt` is more often the whole of it, with the context in it."""


def with_input(row: Mapping[str, Any], column: str, where: str) -> str:
    """A row's instruction, with its `input` below it where it has one, as in the Alpaca data set.

    Args:
        row: with the instruction, a text or anything else, in `column`; of anything else the input alone is returned.
        column: `input` is taken for a part of it unless it is that column itself, or the row also has an `instruction`,
            to which it then belongs.
        where: to name in messages.

    Raises:
        DataError: an input that is no text.
    """
    value = row.get(column)
    text = value if isinstance(value, str) else ""
    own, parts = column.casefold(), _parts(row)
    if own == INPUT or (own != _INSTRUCTION and _INSTRUCTION in parts):
        return text
    given = parts.get(INPUT)
    if _nothing(given):
        return text
    if not isinstance(given, str):
        raise DataError(where, f"`{INPUT}` should be a text, got {str(given)[:60]!r}")
    if not given.strip():
        return text
    return f"{text}\n\n{given}" if text else given


def require_whole(row: Mapping[str, Any], column: str, where: str) -> None:
    """Refuse a row that asks with more than its prompt: tools, images, a system prompt, earlier turns, a context.

    Raises:
        DataError: there is such a part.
    """
    own, parts = column.casefold(), _parts(row)
    asked = (*_OF_CHATS, *_BEFORE_IT, *_BESIDE_IT) if own in _ASKING else (*_OF_CHATS, *_BEFORE_IT)
    for part in asked:
        if part != own and not _nothing(parts.get(part)):
            raise DataError(
                where,
                f"`{part}` is a part of the question that no prompt here can hold; write it into the messages, or "
                "leave such rows out (rename the column if it is something else)",
            )


def _parts(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row by its keys without regard to case, as headers are written: `Input` is `input`."""
    return {str(key).casefold(): value for key, value in row.items()}


def message_text(message: Mapping[str, Any], where: str) -> str:
    """The text of a chat message whose content is a text or a list of text parts.

    Raises:
        DataError: no content, or parts that would be dropped: tool calls, reasoning, names, images.
    """
    for key, value in message.items():
        if key not in ("role", "content") and not _nothing(value):
            raise DataError(
                where, f"`{key}` of a message would be dropped: prompts have `role` and `content`; remove it, or write "
                "it into the content",
            )  # fmt: skip
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, (list, tuple)) and content:
        return "".join(_part_text(part, where) for part in content)
    raise DataError(where, f"a message's `content` should be a text or a list of texts, got {str(content)[:60]!r}")


def _part_text(part: Any, where: str) -> str:
    if not isinstance(part, Mapping) or part.get("type") != "text":
        kind = part.get("type") if isinstance(part, Mapping) else part
        raise DataError(where, f"a part of the content is no text ({str(kind)[:40]!r}), and would be dropped")
    more = next((key for key, value in part.items() if key not in ("type", "text") and not _nothing(value)), None)
    if more is not None:
        raise DataError(where, f"`{more}` of a part of the content would be dropped; remove it")
    text = part.get("text")
    if not isinstance(text, str):
        raise DataError(where, f"a part of the content should have a `text`, got {str(text)[:60]!r}")
    return text


def _nothing(value: Any) -> bool:
    """Whether a value says nothing: Parquet writes null for the keys that a message lacks."""
    return value is None or (isinstance(value, (str, list, tuple, dict)) and not value)
