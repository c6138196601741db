"""A calibrated plan, for people."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


@contextlib.contextmanager
def calibrating() -> Iterator[None]:
    """A line on stderr while a machine is measured, where that is a terminal."""
    from rich.console import Console

    with Console(stderr=True).status("measuring a few batches on this machine"):
        yield


def show(console: Console, found: dict[str, Any]) -> None:
    """Print what a calibration found."""
    from rich.table import Table

    machine, lengths, memory = found["machine"], found["lengths"], found["memory"]
    threads = f"{machine['threads']} of {machine['cores']} cores" if machine["device"] == "cpu" else "1"
    console.print(f"\n[bold]On this machine[/bold] ({machine['device']}, {threads})")
    table = Table("stage", "time", "processor time", box=None, pad_edge=False)
    for stage, spent in found["stages"].items():
        table.add_row(stage, duration(spent["seconds"]), duration(spent["cpu_seconds"]))
    for name, spent in found["methods"].items():
        table.add_row(f"of these, {name} alone", duration(spent["seconds"]), duration(spent["cpu_seconds"]))
    beside = found["side_by_side"]
    how = f", {beside['processes']} methods at a time" if beside["processes"] > 1 else ""
    table.add_row(f"in all{how}", duration(found["seconds"]), duration(found["cpu_seconds"]))
    console.print(table)
    source = "answers that it gave" if lengths["source"] == "drawn" else "the answers of the supervised stage"
    lines = Table("what", "how much", box=None, pad_edge=False, show_header=False)
    lines.add_row(
        "answers' length, measured",
        f"{lengths['mean']:.1f} tokens on average, {lengths['longest']} at most, of {lengths['answers']} ({source})",
    )
    for name, spent in found["a_token"].items():
        lines.add_row(f"{name}, a token", f"{1e6 * spent['seconds']:,.1f} µs")
    each = "each of " if memory["processes"] > 1 else ""
    owner = f"{each}{memory['processes']} process" + ("es" if memory["processes"] > 1 else "")
    lines.add_row("most memory held", f"{size(memory['peak'])} ({memory['of']}; {owner})")
    if memory["engine"] is not None:
        lines.add_row("most memory of the engine", f"{size(memory['engine'])} (process; beside that)")
    lines.add_row("disk, up to", size(found["disk"]["total"]))
    money = found["money"]
    if money["machine"] is not None:
        lines.add_row("money for the machine", f"{money['machine']:,.2f}")
    for use, spend in money["judge"].items():
        cost = f", {spend['cost']:,.2f} of money" if spend["cost"] else ""
        tokens = spend["input_tokens"] + spend["output_tokens"]
        lines.add_row(f"paid judge in {use}, about", f"{spend['calls']:,} calls, {tokens:,} tokens{cost}")
    for unit, units in found["unmeasured"].items():
        why = "a paid judge was not asked; --ask-judge asks it" if unit.endswith("pair") else "not measured"
        lines.add_row(f"not in the times: {unit}", f"{units:,} ({why})")
    console.print(lines)


def duration(seconds: float) -> str:
    """Hours and minutes, or less."""
    if seconds >= 3600:
        return f"{seconds / 3600:,.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def size(count: int) -> str:
    """Bytes, in GiB or MiB."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
