"""What a run shows where there is no terminal: in a file, both streams together."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

import forked
import tiny_run
from comal.cli.display.run import RunDisplay
from comal.pipeline.disk.progress import MethodState, RunState


def test_no_line_of_progress_falls_between_the_rows_of_a_table(tmp_path: Path, monkeypatch) -> None:
    """A row every 5 seconds of a run's clock and, after the third, 20 minutes without any; a new stage every second."""
    looks: list[Path] = []
    clock = 0.0
    shown = io.StringIO()
    display = RunDisplay(tmp_path, ["m"], 9, lambda _: "HEADING", lambda _, path, __: f"ROW {path.name}")
    display.console = Console(file=shown)
    display._task = display._progress.add_task("x", total=9)

    def state() -> RunState:
        return RunState((MethodState("m", 0, f"stage {clock:.0f}", False, tuple(looks)),), True, False, "")

    monkeypatch.setattr("comal.cli.display.run.read_state", lambda *_: state())
    monkeypatch.setattr("comal.cli.display.run.time.monotonic", lambda: clock)
    for second in range(2400):
        clock = float(second)
        if second in (100, 105, 110, 1310, 1315):
            looks.append(Path(f"look{second}"))
        display._say(display._update(), clock)
    lines = shown.getvalue().splitlines()
    kinds = [line.split()[0] if line else "" for line in lines]
    rows = [n for n, kind in enumerate(kinds) if kind == "ROW"]
    assert [lines[n] for n in rows] == [f"ROW look{s}" for s in (100, 105, 110, 1310, 1315)]
    for n in rows:
        assert kinds[n - 1] in ("HEADING", "ROW"), "nothing but rows stands between a heading and a row"
    # Where a table ended for want of rows, an empty line comes before the progress; and there is progress.
    assert kinds[: rows[0] - 1] == ["m:"] * 5, "0, 21, 42, 63, 84 seconds"
    assert kinds[rows[2] + 1 : rows[2] + 3] == ["", "m:"]
    assert kinds.count("HEADING") == 2


def test_the_clock_goes_on_while_the_last_evaluation_is_made(tmp_path: Path, monkeypatch) -> None:
    done = RunState((MethodState("m", 9, "", True, ()),), True, False, "final evaluation")
    monkeypatch.setattr("comal.cli.display.run.read_state", lambda *_: done)
    shown = io.StringIO()
    display = RunDisplay(tmp_path, ["m"], 9, lambda _: "", lambda *_: "")
    display.console = display._progress.live.console = Console(file=shown, force_terminal=True, width=120)
    with display:
        display._update()
        (task,) = display._progress.tasks
        assert not task.finished
    assert "9/9 steps" in shown.getvalue()


def test_a_run_says_first_what_it_will_do_and_how_to_stop(tmp_path: Path) -> None:
    """Both streams in one file: the announcement, then progress and the table, then the result."""
    recipe = tiny_run.write(tmp_path, tiny_run.values(tmp_path / "data"))
    text = recipe.read_text("utf-8")
    recipe.write_text(f"# Ours\n# Takes  a few seconds\n{text}", "utf-8")
    assert forked.start(tiny_run.command(recipe, tmp_path / "run"), tmp_path / "log").wait() == 0
    first, second, *rest = (tmp_path / "log").read_text("utf-8").splitlines()
    assert first == f"run folder: {tmp_path / 'run'}"
    # 4 steps × 8 prompts × 4 answers, and 6 pairs of them.
    assert second == (
        "one-token: 4 proximal steps of comal; at most 128 sampled answers and 192 judged pairs, then the evaluation. "
        "Takes a few seconds. Stop it by Ctrl-C at any moment: the same command continues."
    )
    heading = next(n for n, line in enumerate(rest) if line.startswith("method "))
    assert rest[heading + 1].startswith("comal ")
    assert rest[heading + 2].startswith("comal ")


def test_the_default_recipe_says_how_long_it_takes() -> None:
    from comal.recipes import DEFAULT_RECIPE
    from comal.recipes.load import recipe_text

    assert "\n# Takes " in recipe_text(DEFAULT_RECIPE)
