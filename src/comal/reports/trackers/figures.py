"""What a run's journals and looks say, as numbers over proximal steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from comal.judges.chat.ledger import spent_in
from comal.pipeline.disk.journal import describe_instruction, is_step, read_entries
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.disk.look import Look


@dataclass(frozen=True, slots=True)
class Figures:
    """Numbers of one moment of one method.

    Attributes:
        key: of the journal's line or the look, the same in every process.
        step: proximal steps taken by then.
        values: by name, the method's name before it.
    """

    key: str
    step: int
    values: Mapping[str, float]


def run_figures(folder: Path, methods: Sequence[str]) -> Iterator[Figures]:
    """All there are so far: for each method its steps, then its looks, in their order.

    Raises:
        RunError: a file that cannot be read.
    """
    run = RunFolder(folder)
    for name in methods:
        method = run.method(name)
        step = 0
        totals = {"judge_calls": 0, "comparisons": 0}
        for entry in read_entries(method.journal):
            step += is_step(describe_instruction(entry.instruction))
            measured = asdict(entry.metrics)
            seconds = measured.pop("seconds") or {}
            measured.pop("step")
            for total in totals:
                totals[total] += measured[total] or 0
            plain = (
                {f"step/{key}": value for key, value in (asdict(entry.report) | measured).items()}
                | {f"seconds/{stage}": value for stage, value in seconds.items()}
                | {f"total/{key}": value for key, value in totals.items()}
            )
            yield Figures(f"{name}:{entry.index}", step, _numbers(name, plain))
        for look in method.looks():
            yield Figures(f"{name}:look {look.step}", look.step, _numbers(name, _look(look)))


def spend_figures(folder: Path) -> dict[str, float]:
    """What metered judges have cost the whole run by now, evaluations included; empty where none is metered."""
    spend = spent_in(RunFolder(folder).spend)
    if spend is None:
        return {}
    return {"spend/calls": float(spend.calls), "spend/tokens": float(spend.tokens), "spend/cost": spend.cost}


def _look(look: Look) -> dict[str, Any]:
    figures = look.figures
    return {
        "validation/win_rate": None if figures.win_rate is None else figures.win_rate.mean,
        "validation/worst_case": figures.worst_case.win_rate.mean,
        "validation/duality_gap": figures.duality_gap.mean,
        "validation/kl_start": look.kl_start,
        "validation/mean_tokens": look.mean_tokens,
        "validation/unfinished": look.unfinished,
    } | {f"validation/class {name}": share for name, share in (figures.classes or {}).items()}


def _numbers(method: str, plain: Mapping[str, Any]) -> dict[str, float]:
    """What is a finite number; a tracker has no way to say that something was not measured."""
    return {
        f"{method}/{name}": float(value)
        for name, value in plain.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    }
