"""What a person sees of an evaluation while it works: a bar on stderr; without a terminal a line now and then."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from comal.judges.asking.oracle import Oracle

_EVERY = 20.0  # seconds between lines without a terminal


class EvalDisplay:
    """Shows the stages of an evaluation; `comal.pipeline.crossplay.evaluation.EvalProgress`."""

    def __init__(self, show: bool = True) -> None:
        self._console = Console(stderr=True, quiet=not show)
        self._oracle: Oracle | None = None
        self._last_time = 0.0
        self._progress = Progress(
            TextColumn("{task.description}", justify="left"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[verdicts]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            get_time=time.monotonic,
        )

    def __enter__(self) -> EvalDisplay:
        self._task = self._progress.add_task("starting", total=1, verdicts="")
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def stage(self, what: str, done: int, total: int) -> None:
        """Show a stage."""
        self._progress.update(self._task, description=what, completed=done, total=total, verdicts="")
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last_time > _EVERY:
            self._console.print(f"{what}  {done}/{total}", soft_wrap=True, highlight=False, markup=False)
            self._last_time = now

    def judging(self, oracle: Oracle, first: str, second: str, done: int, total: int) -> None:
        """Show which pair is judged."""
        self._oracle = oracle
        self.stage(f"judging {first} against {second}", done, total)
        self._progress.update(self._task, verdicts=_LiveCount(oracle))

    def asked(self) -> list[str]:
        """What the judge was asked in this call, and what came from disk."""
        if self._oracle is None:
            return []
        stats = self._oracle.stats
        return [f"judge asked {stats.judge_calls} times, {stats.cache_hits} verdicts were kept from before"]


class _LiveCount:
    """Formats as the oracle's count of this moment: the bar's own thread draws it anew while a judge is slow."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle

    def __format__(self, _: str) -> str:
        stats = self._oracle.stats
        return f"{stats.judge_calls + stats.cache_hits} verdicts"
