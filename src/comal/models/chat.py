"""What a chat template makes of messages: it leaves none of them out, and makes the same of them every day."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

_SWITCHES: Final = re.compile(r"(?<!\S)/(?:no_)?think(?!\S)")
"""Words to a reasoning model's template, which takes them out of the text."""

_DAY: Final = datetime(2024, 7, 26, tzinfo=UTC)  # what Llama 3's own templates write where there is no clock
_CLOCK: Final = "strftime_now"
_SAID: Final = {"%-d": str(_DAY.day), "%-m": str(_DAY.month), "%-H": "0", "%-I": "12"} | {
    f"%{letter}": _DAY.strftime(f"%{letter}") for letter in "aAbBdHIjmMpSyYcxXZ"
}
_STANDING: Final = (
    "{%- macro " + _CLOCK + "(form) -%}{{ form"
    + "".join(f" | replace('{form}', '{said}')" for form, said in _SAID.items())
    + " }}{%- endmacro -%}"
)  # fmt: skip
"""A template's own clock instead of Transformers', which would let no function of ours through."""


def standing_clock(tokenizer: Any) -> dict[str, str]:
    """Options of `apply_chat_template` by which a template that writes the date writes the same one every day.

    By today's date a run that goes on tomorrow would ask other questions than it was begun with, and a template that
    writes the hour another one at every call.
    """
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    return {"chat_template": _STANDING + template} if isinstance(template, str) and _CLOCK in template else {}


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
