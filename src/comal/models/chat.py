"""What a chat template makes of messages: one that leaves any of them out asks another question than the row does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

_SWITCHES: Final = re.compile(r"(?<!\S)/(?:no_)?think(?!\S)")
"""Words to a reasoning model's template, which takes them out of the text."""


def left_out(messages: Sequence[Mapping[str, str]], rendered: str) -> Mapping[str, str] | None:
    """The first message whose text a template left out; None where all of them are there.

    Templates may trim a text, write it as JSON, and leave out an assistant's earlier thoughts, as those of reasoning
    models do. Some know no system role, and let such messages fall without a word.

    Args:
        messages: as the template was given them.
        rendered: what it wrote.
    """
    return next((message for message in messages if not _stands(message, rendered)), None)


def _stands(message: Mapping[str, str], rendered: str) -> bool:
    content = message["content"]
    if message["role"] == "assistant":
        content = content.rpartition("</think>")[2]
    content = content.strip()
    written = json.dumps(content, ensure_ascii=False)[1:-1]  # as a template's `tojson` does
    return content in rendered or written in rendered or _plain(content) in _plain(rendered)


def _plain(text: str) -> str:
    return " ".join(_SWITCHES.sub(" ", text).split())
