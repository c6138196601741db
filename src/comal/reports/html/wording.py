"""Numbers as the report's sentences and tables say them."""

from __future__ import annotations

from collections.abc import Sequence

from comal.evaluation.estimates import Estimate


def pct(share: float) -> str:
    """A share in per cent, one decimal."""
    return f"{share:.1%}"


def span(low: float, high: float) -> str:
    """A 95% interval in per cent."""
    return f"{100 * low:.1f}–{high:.1%}"


def points(worst_case: Estimate) -> str:
    """The interval of a worst case's excess over an even match, in percentage points.

    >>> points(Estimate(0.54, 0.522, 0.563, 50, 0))
    '2.2 to 6.3'
    """
    return f"{100 * (worst_case.low - 0.5):.1f} to {100 * (worst_case.high - 0.5):.1f}"


def join(parts: Sequence[str]) -> str:
    """Several things in a sentence.

    >>> join(["a"]), join(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> [duration(s) for s in (0.04, 7.26, 75, 7300)]
    ['0.0 s', '7.3 s', '1 min 15 s', '2 h 1 min']
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
