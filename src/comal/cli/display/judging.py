"""A bar on stderr while a judge is asked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def judging() -> Iterator[Callable[[int, int], None]]:
    """A function to be told (done, total) comparisons; the bar goes when the block ends."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("asking the judge"), BarColumn(bar_width=30), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("judge", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
