"""`audit.json` of a run, if somebody audited its judge: its figures as rows of label, value and interval.

The reader knows few keys and shows what it finds: an estimate is a mapping with `low` and `high` beside its value
(`mean`, `value`, `rate`, `share`, `estimate` or `corrected_share`), perhaps with how many `prompts` it is over; other
mappings and short lists of them are looked into, short lists of plain values are listed, and `verdict`, `summary` and
`advice` are sentences. What does not fit a row (tables, long lists) is counted, not shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from comal.pipeline.disk.layout import RunFolder
from comal.reports.html.run_data import RunData, optional

_SENTENCES = ("verdict", "summary", "advice")
_CENTRES = ("mean", "value", "rate", "share", "estimate", "corrected_share")
_MOST_ROWS = 60
_LONGEST_LIST = 12
_ROUNDING = 1e-12  # a cyclic share of two systems is 0, computed with rounding errors
_MOST_MAPPINGS = 6  # of a list, such as agreement with each of a few raters


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One figure."""

    label: str
    value: str
    interval: str


@dataclass(frozen=True, slots=True)
class Audit:
    """An audit as the report shows it.

    Attributes:
        sentences: advice in words.
        left_out: figures that did not fit a row.
    """

    sentences: tuple[str, ...]
    rows: tuple[AuditRow, ...]
    left_out: int


def read_audit(run: RunData) -> Audit | None:
    """The audit in a run's folder, or None.

    Raises:
        RunError: the file is not JSON.
    """
    found = optional(RunFolder(run.folder).audit)
    if found is None:
        return None
    if not isinstance(found, Mapping):
        return Audit((), (), 1)
    sentences = tuple(_sentence(key, text) for key in _SENTENCES for text in _texts(found.get(key)))
    rows = list(_rows({k: v for k, v in found.items() if k not in _SENTENCES}, ""))
    shown = [row for row in rows if row is not None]
    return Audit(sentences, tuple(shown[:_MOST_ROWS]), len(rows) - len(shown) + len(shown[_MOST_ROWS:]))


def _sentence(key: str, text: str) -> str:
    """A verdict may be a word or two."""
    return f"Verdict: {text}." if key == "verdict" and len(text.split()) < 4 else text


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):  # such as {"verdict": "cyclic", "text": "…"}
        return [text for item in value.values() for text in _texts(item)]
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else []


def _rows(value: Any, label: str) -> Iterator[AuditRow | None]:
    """Rows below a label; None for what does not fit one."""
    if isinstance(value, Mapping):
        centre = next((key for key in _CENTRES if _is_number(value.get(key))), None)
        if centre is not None and _is_number(value.get("low")) and _is_number(value.get("high")):
            interval = f"{_number(value['low'])} to {_number(value['high'])}"
            over = f", {value['prompts']:,} prompts" if isinstance(value.get("prompts"), int) else ""
            name = f"{label} · {_words(centre)}" if centre == "corrected_share" else label
            yield AuditRow(name, _number(value[centre]), interval + over)
            said = {
                centre,
                "low",
                "high",
                *(["prompts"] if over else []),
                *([] if value.get("missing") else ["missing"]),
            }
            value = {k: v for k, v in value.items() if k not in said}
        for key, item in value.items():
            yield from _rows(item, f"{label} · {_words(key)}" if label else _words(key))
    elif isinstance(value, list):
        if len(value) <= _LONGEST_LIST and all(isinstance(item, (str, int, float)) for item in value):
            yield AuditRow(label, ", ".join(_number(item) for item in value) or "none", "")
        elif len(value) <= _MOST_MAPPINGS and all(isinstance(item, Mapping) for item in value):
            for number, item in enumerate(value, start=1):
                yield from _rows(item, f"{label} {number}" if len(value) > 1 else label)
        else:
            yield None
    else:
        yield AuditRow(label, _number(value), "")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) > _ROUNDING else "0"
    return str(value)


def _words(key: str) -> str:
    return str(key).replace("_", " ")
