"""A run's figures as text tables."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from comal.evaluation.estimates import Estimate, says_little
from comal.evaluation.exploitability.adversaries import Kind
from comal.pipeline.disk.look import Look
from comal.pipeline.disk.result import PolicyResult, RunResult
from comal.records import read
from comal.reports.terminal.several import several_table

_LOOK = (
    ("method", 16),
    ("step", 5),
    ("win vs start", 15),
    ("vs prev.", 8),
    ("vs best", 7),
    ("KL start", 8),
    ("gap ≥", 15),
)
_DISPENSABLE = (4, 3, 5, 6)
"""Columns of the growing table that a narrow terminal goes without, the first to go first."""


def look_heading(width: int | None = None) -> str:
    """Column names of the table that grows while a run works, in `width` characters if it can be; None: any number."""
    return _look_line([name for name, _ in _LOOK], width)


def look_row(method: str, path: Path, width: int | None = None) -> str:
    """A line of that table, from a look's file."""
    look = read(Look, path)
    return _look_line(
        [
            method,
            str(look.step),
            interval(look.figures.win_rate),
            short(look.win_rate_previous),
            short(look.win_rate_best),
            f"{look.kl_start:.2f}",
            interval(look.figures.duality_gap),
        ],
        width,
    )


def _look_line(cells: Sequence[str], width: int | None) -> str:
    left = list(range(len(_LOOK)))
    for column in _DISPENSABLE:
        if width is not None and sum(_LOOK[k][1] + 2 for k in left) - 2 > width:
            left.remove(column)
    first, *others = left
    return "  ".join([f"{cells[first]:<{_LOOK[first][1]}}", *(f"{cells[k]:>{_LOOK[k][1]}}" for k in others)])


def interval(estimate: Estimate | None, digits: int = 3) -> str:
    """`0.520 ± 0.010`, half the width of the 95% interval, or a dash."""
    if estimate is None:
        return "–"
    return f"{estimate.mean:.{digits}f} ± {(estimate.high - estimate.low) / 2:.{digits}f}"


def short(estimate: Estimate | None) -> str:
    """The mean alone."""
    return "–" if estimate is None else f"{estimate.mean:.3f}"


_NARROW, _VERY_NARROW = 110, 75
_KINDS: tuple[Kind, ...] = ("another policy", "one class only", "best of N")
"""Of the adversaries that a run's evaluation has."""


def result_table(result: RunResult, width: int = 130) -> Table:
    """The table at the end of a run: every policy, where it looks good and where it is exposed.

    In a narrow terminal most figures go without their interval or altogether; result.json and the report have them.
    """
    narrow = width < _NARROW
    table = Table(
        title=f"{result.name}: win rates on {result.test_prompts} held-out prompts, mean ± half a 95% interval",
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 1, 0, 0) if narrow else (0, 1),
    )
    table.add_column("policy", no_wrap=True)
    digits = 2 if narrow else 3
    columns: dict[str, Callable[[PolicyResult], str]] = {
        "against start": lambda policy: interval(policy.figures.win_rate, digits),
        "worst case": lambda policy: interval(policy.figures.worst_case.win_rate, digits),
    }
    minor = short if narrow else interval
    if width >= _VERY_NARROW:
        columns[f"more than {result.methods[0]}"] = lambda policy: minor(policy.worst_case_excess)
        for kind in _KINDS:
            columns[kind] = functools.partial(_of_kind, kind=kind, shown=minor)
    columns["KL to start"] = lambda policy: f"{policy.kl_start.mean:.2f}"
    for heading in columns:
        # Broken here, a heading makes no column wider than its figures; rich would break the figures too.
        table.add_column(heading.replace(" ", "\n") if narrow else heading, justify="right", no_wrap=narrow)
    for name, policy in result.policies.items():
        table.add_row(name, *(cell(policy) for cell in columns.values()))
    return table


def _of_kind(policy: PolicyResult, kind: Kind, shown: Callable[[Estimate | None], str]) -> str:
    strongest = policy.figures.strongest(kind)
    return shown(None if strongest is None else policy.figures.adversaries[strongest])


def print_result(result: RunResult) -> None:
    """Print the final table with what its columns mean."""
    console = Console(width=max(Console().width, 130)) if not Console().is_terminal else Console()
    console.print(result_table(result, console.width))
    several = {name: policy.several for name, policy in result.policies.items() if policy.several}
    if several:
        console.print()
        console.print(several_table(several))
    picked = [pick for name, pick in (result.picked or {}).items() if pick != name]
    worst = [policy.figures.worst_case.win_rate for policy in result.policies.values()]
    notes = (
        [f"{result.test_prompts} held-out prompts are too few to say anything: the intervals leave most values open."]
        if any(says_little(rate.low, rate.high) for rate in worst)
        else []
    )
    notes += [
        "against start: how often the policy beats the one it started from. worst case: how often the strongest of all "
        "adversaries beats the policy (a Nash policy: 0.5 at most); half of the prompts choose that adversary, the "
        f"other half measure it; more than {result.methods[0]}: the difference of the two worst cases, prompt by "
        f"prompt. {result.cyclic_prompts:.0%} of the prompts have answers that beat each other in a "
        "strict cycle."
    ]
    if picked:
        notes.append(
            f"{', '.join(picked)}: the method's policy after so many steps, which the validation win rate against the "
            "start would pick."
        )
    console.print("\n" + " ".join(notes), highlight=False)
