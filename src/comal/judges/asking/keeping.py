"""Asking a judge so that every verdict is on disk before the next is waited for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from comal.errors import JudgeError
from comal.judges.base import Comparison, Judge, Records, Verdict
from comal.judges.kept.cache import VerdictCache
from comal.plugins import describe

_SHOWN: Final = 60


def open_cache(judge: Judge, records: Records, repeat: int = 0) -> VerdictCache | None:
    """Where the verdicts of `judge` are kept; None when it is too cheap for that, or nothing is kept.

    Args:
        judge: whose verdicts.
        records: the files.
        repeat: how often the same questions were put to it before: each time its verdicts are kept for themselves.
    """
    if records.verdicts is None or not judge.expensive:
        return None
    if repeat == 0:
        return VerdictCache(records.verdicts, judge.fingerprint(), judge.identity())
    again = {**judge.identity(), "asked_before": repeat}
    return VerdictCache(records.verdicts, f"{judge.fingerprint()} asked before: {repeat}", again)


def ask_and_keep(
    judge: Judge, comparisons: Sequence[Comparison], cache: VerdictCache | None, records: Records
) -> Iterator[list[Verdict]]:
    """The judge's verdicts, part by part, each part kept before it is handed on.

    Raises:
        JudgeError: the judge cannot be asked, gave something that is no probability (the good verdicts that came with
            it are kept), or left a comparison without an answer.
    """
    return keep(judge, judge.compare_in_parts(comparisons, records), comparisons, cache)


def ask_what_is_not_kept(member: Judge, comparisons: Sequence[Comparison], records: Records) -> list[Verdict]:
    """The verdicts, in order, of a judge within another one; if it is expensive, asked for only where not on disk yet.

    Raises:
        JudgeError: as `ask_and_keep`.
    """
    cache = open_cache(member, records)
    kept = cache.get(comparisons) if cache is not None else {}
    said = {comparison: Verdict(comparison, p) for comparison, p in kept.items()}
    missing = [comparison for comparison in comparisons if comparison not in said]
    for part in ask_and_keep(member, missing, cache, records) if missing else ():
        said |= {verdict.comparison: verdict for verdict in part}
    return [said[comparison] for comparison in comparisons]


def keep(
    judge: Judge, parts: Iterable[list[Verdict]], comparisons: Sequence[Comparison], cache: VerdictCache | None
) -> Iterator[list[Verdict]]:
    """The parts that `judge` hands over on these comparisons, each kept before it is handed on.

    Raises:
        JudgeError: as `ask_and_keep`.
    """
    name = str(describe(judge)["name"])
    waiting = set(comparisons)
    for part in parts:
        good = [v for v in part if v.probability is None or _is_probability(v.probability)]
        bad = [v for v in part if v not in good] if len(good) < len(part) else []
        if cache is not None:
            kept = cache.put({v.comparison: float(v.probability) for v in good if v.probability is not None})
            # Another process may have been faster; a continued run will be given its verdict, so go on with that.
            good = [replace(v, probability=kept.get(v.comparison)) for v in good]
        if bad:
            raise JudgeError(
                name,
                f"gave {_shown(bad[0].probability)}, which is no probability, on {_quote(bad[0].comparison)}; where"
                " there is no verdict give None",
            )
        waiting.difference_update(verdict.comparison for verdict in good)
        yield good
    if waiting:
        raise JudgeError(name, f"gave no answer, not even None, on {len(waiting)} of {len(comparisons)} comparisons")


def _is_probability(value: Any) -> bool:
    """Whether anybody's function gave a number from 0 to 1; a word is none, even if it spells one."""
    if isinstance(value, (str, bytes)):
        return False
    try:
        return 0.0 <= float(value) <= 1.0  # false for NaN
    except (TypeError, ValueError, OverflowError):
        return False


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else f"{value:g}"
    return repr(value)[:_SHOWN]


def _quote(comparison: Comparison, limit: int = _SHOWN) -> str:
    def short(text: str) -> str:
        return repr(text if len(text) <= limit else text[: limit - 1] + "…")

    return f"{short(comparison.first)} against {short(comparison.second)} (prompt {short(comparison.prompt)})"
