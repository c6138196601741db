"""A certificate as text: what each exploiter learned, who wins how often, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from comal.evaluation.exploitability.certificate import Certificate
from comal.pipeline.disk.exploiter_look import ExploiterLook
from comal.records import read
from comal.reports.terminal.run import interval
from comal.reports.terminal.several import several_table

SHOWN = 8
"""Adversaries of each policy in the table; certificate.json has them all."""


def look_heading(width: int | None = None) -> str:
    """Column names of the table that grows while exploiters train, in `width` characters if it can be."""
    return _look_line("exploiter", "step", "wins, on validation", width)


def look_row(exploiter: str, path: Path, width: int | None = None) -> str:
    """A line of that table, from a look's file."""
    look = read(ExploiterLook, path)
    return _look_line(exploiter, look.step, interval(look.win_rate), width)


def _look_line(exploiter: str, step: str | int, wins: str, width: int | None) -> str:
    name = 44 if width is None else max(20, min(44, width - 28))
    return f"{exploiter[-name:]:<{name}}  {step:>5}  {wins:>19}"


def certificate_table(certificate: Certificate) -> Table:
    """The strongest adversaries of one policy, and every trained one."""
    table = Table(
        title=f"{certificate.policy}: who beats it, on {certificate.prompts} fresh prompts, mean and 95% interval",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("adversary")
    table.add_column("kind")
    table.add_column("wins", justify="right")
    table.add_column("95% interval", justify="right")
    table.add_column("no verdict", justify="right")
    for rank, adversary in enumerate(certificate.adversaries):
        if rank < SHOWN or adversary.kind == "trained exploiter":
            rate = adversary.win_rate
            table.add_row(
                adversary.name,
                adversary.kind,
                f"{rate.mean:.3f}",
                f"[{rate.low:.3f}, {rate.high:.3f}]",
                str(rate.missing) if rate.missing else "",
            )
    return table


def print_certificates(certificates: Sequence[Certificate]) -> None:
    """Print tables and verdicts."""
    console = Console(width=max(Console().width, 130)) if not Console().is_terminal else Console()
    for number, certificate in enumerate(certificates):
        if number:
            console.print()
        console.print(certificate_table(certificate))
        console.print()
        if certificate.several:
            console.print(several_table({certificate.policy: certificate.several}))
            console.print()
        console.print(f"{certificate.policy}: {certificate.verdict}", highlight=False, markup=False)
