"""Whether a method gets anywhere, from its journal: movement against its noise, while something can be raised."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

STILL = 0.005
"""Nats. A policy at a smaller KL from the start is shown at 0.00, and wins by 5 points at most (Pinsker)."""

_FEWEST = 2  # steps that a standard error can be taken over
_ARRIVED = 0.5  # a slope from which on a step did most of what it asked for


def standstill(entries: Sequence[Mapping[str, Any]], steps: int) -> str | None:
    """What to raise, where a method will not have moved at the end of its steps; None where it moves, or is too young.

    A step's KL is noise up to g²/2, where g is the gap between log-probabilities of one and the same policy, as
    training and scoring compute them. Above it, steps that all went in one direction would end at (steps · √KL)².

    Args:
        entries: lines of its journal.
        steps: that it is to take in all.
    """
    measured = [m for entry in entries if (m := entry["metrics"]).get("kl_moved") is not None]
    if len(measured) < _FEWEST:
        return None
    kl = np.array([max(m["kl_moved"], 0.0) for m in measured])
    noise = max(m.get("start_gap", 0.0) for m in measured) ** 2 / 2
    end = (_upper(np.sqrt(kl)) * steps) ** 2
    if kl.max() > noise and end >= STILL:
        return None
    slopes = np.array([m["slope"] for m in measured if m.get("slope") is not None])
    said = f"moves by a KL of {kl.mean():.1g} nats a step"
    said += f", within rounding ({noise:.1g})" if kl.max() <= noise else f", {end:.1g} over all {steps} steps at most"
    if not len(slopes):
        return f"{said}: the judge tells none of its answers apart, so nothing is asked of it. Look at the judge"
    around = f" ± {2 * _error(slopes):.1g}" if len(slopes) > 1 else ""
    said += f"; {slopes.mean():.2g}{around} of what its steps ask for"
    if slopes.mean() - 2 * _error(slopes) >= _ARRIVED:
        return f"{said}. They ask for little: raise eta"
    return f"{said}. Raise training.learning_rate, then training.epochs or steps"


def _error(values: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def _upper(values: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    return float(values.mean()) + 2 * _error(values)
