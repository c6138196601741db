"""`audit.json` of a run, if somebody audited its judge: its figures as rows of label, value and interval.

Rows follow the audit's own record: an estimate is one row; what is made of figures is looked into, short lists of plain
values are listed, and verdict and advice are sentences. What does not fit a row (tables, long lists) is counted, not
shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from comal.evaluation.audit.result import AuditResult, read_audit
from comal.pipeline.disk.layout import RunFolder
from comal.reports.html.run_data import RunData

_SENTENCES = ("verdict", "advice", "foresight")
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
class ShownAudit:
    """An audit as the report shows it.

    Attributes:
        sentences: verdict and advice in words.
        left_out: figures that did not fit a row.
    """

    sentences: tuple[str, ...]
    rows: tuple[AuditRow, ...]
    left_out: int


def audit_of(run: RunData) -> AuditResult | None:
    """The audit in a run's folder, or None.

    Raises:
        RunError: the file holds no audit.
    """
    path = RunFolder(run.folder).audit
    return read_audit(path) if path.is_file() else None


def shown_audit(audit: AuditResult) -> ShownAudit:
    """An audit as sentences and rows."""
    plain = {name: value for name, value in audit.to_json().items() if name not in _SENTENCES}
    rows = list(_rows(plain, ""))
    shown = [row for row in rows if row is not None]
    left_out = len(rows) - len(shown) + len(shown[_MOST_ROWS:])
    sentences = (f"Verdict: {audit.verdict}.", *audit.advice, *_foreseen(audit))
    return ShownAudit(sentences, tuple(shown[:_MOST_ROWS]), left_out)


def _foreseen(audit: AuditResult) -> Iterator[str]:
    found = audit.foresight
    if found is None:
        return
    shares = ", ".join(f"{name} {share:.2f}" for name, share in zip(found.classes, found.class_shares, strict=True))
    yield (
        f"What the run could show, if a judge saw no more of an answer than its class: against the start ({shares}) "
        f"the strongest class wins {found.start:.3f}."
    )
    for one in found.methods:
        ends = ", ".join(f"{end.win_rate:.3f} if {end.arrives:.0%} of each step arrive" for end in one.ends)
        yield (
            f"Against {one.method} after {found.steps:,} steps it wins {ends}."
            if ends
            else f"{one.method}: {one.reason}."
        )


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
