"""What a person sees of a run on the terminal: one line of progress, and a table as validation figures come in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from comal.pipeline.disk.method_folder import MethodFolder
from comal.pipeline.disk.progress import RunState, journal_entries, read_state
from comal.pipeline.run.standstill import standstill
from comal.reports.terminal.run import look_heading, look_row

_QUIET, _LONG_QUIET = 20.0, 600.0  # seconds without a sign of life, before a table and after its last row


class RunDisplay:
    """Watches a run's folder from a thread and shows it on stderr; the run itself knows nothing of it.

    Args:
        folder: of the run, or of a certification.
        methods: folders in it that hold a journal and looks each.
        steps: proximal steps of each.
        heading, row: how looks are shown, in so many characters; None: as many as it takes.
    """

    def __init__(
        self,
        folder: Path,
        methods: list[str],
        steps: int,
        heading: Callable[[int | None], str] = look_heading,
        row: Callable[[str, Path, int | None], str] = look_row,
    ) -> None:
        self.look_heading = heading
        self.look_row = row
        self.folder = folder
        self.methods = methods
        self.steps = steps
        self.console = Console(stderr=True)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._shown: set[Path] = set()
        self._heading = False
        self._warned: set[str] = set()
        self._said, self._said_at = "", -_QUIET
        # What is being done goes last: of all columns it alone gives way when the terminal is narrow.
        self._progress = Progress(
            BarColumn(bar_width=30 if self.console.width >= 100 else 10, table_column=Column(no_wrap=True)),
            TextColumn("{task.completed:.0f}/{task.fields[steps]} steps", table_column=Column(no_wrap=True)),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            TextColumn("left", table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True, elapsed_when_finished=False, table_column=Column(no_wrap=True)),
            TextColumn(
                "{task.description}", justify="left", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
            ),
            console=self.console,
            transient=True,
            expand=True,
        )

    def __enter__(self) -> RunDisplay:
        state = read_state(self.folder, self.methods, self.steps)
        steps = self.steps * len(self.methods)
        # The evaluation after the last step is one more: a bar at its end shows a time that stands still.
        self._task = self._progress.add_task("starting", total=steps + 1, completed=state.steps, steps=steps)
        for method in state.methods:
            self._shown |= set(method.looks)
        if state.steps:
            self.console.print(f"continuing: {state.steps} of {self.steps * len(self.methods)} steps were done before")
        self._progress.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if kind is None:
            self._update()
        self._progress.stop()

    def _watch(self) -> None:
        while not self._stop.wait(0.25):
            state = self._update()
            if not self.console.is_terminal:
                self._say(state, time.monotonic())

    def _say(self, state: RunState, now: float) -> None:
        """Without a terminal there is no live bar: now and then, at `now` seconds, a line says where the run is.

        None falls between the rows of a table: rows say where it is, too, and if long none comes a line ends the table,
        and the next row begins another.
        """
        quiet = _LONG_QUIET if self._heading else _QUIET
        if state.description == self._said or now - self._said_at <= quiet:
            return
        if self._heading:
            self.console.print()
            self._heading = False
        self.console.print(f"{state.description}  {state.steps}/{self.steps * len(self.methods)} steps", soft_wrap=True)
        self._said, self._said_at = state.description, now

    def _update(self) -> RunState:
        state = read_state(self.folder, self.methods, self.steps)
        width = self.console.width if self.console.is_terminal else None  # a file has room for all
        self._progress.update(self._task, completed=state.steps, description=state.description)
        for method in state.methods:
            for path in method.looks:
                if path not in self._shown:
                    self._shown.add(path)
                    self._said_at = time.monotonic()
                    if not self._heading:
                        self.console.print(self.look_heading(width), soft_wrap=True, highlight=False)
                        self._heading = True
                    self.console.print(self.look_row(method.name, path, width), soft_wrap=True, highlight=False)
                    self._warn(method.name)
        return state

    def _warn(self, method: str) -> None:
        """Say it once, where a method does not move."""
        still = standstill(journal_entries(MethodFolder(self.folder / method).journal), self.steps)
        if still is not None and method not in self._warned:
            self._warned.add(method)
            self.console.print(f"warning: {method} {still}", soft_wrap=True, highlight=False, markup=False)
