"""`comal reproduce synthetic --part`: comparisons of the whole family on matrix games."""

from __future__ import annotations

from pathlib import Path

import typer

PARTS = (
    "sampled/paper",
    "sampled/random:5",
    "sampled/random:10",
    "sampled/bradley-terry:5",
    "sampled/condorcet:5",
    "exact/paper",
    "exact/random",
    "exact/condorcet:10",
    "exact/bradley-terry:10",
    "schedules",
)

_WIDTH = 110  # of the tables: method, two gaps with an interval, one without, and a setting


def compare(wanted: list[str], full: bool, folder: Path, as_json: bool) -> None:
    """Carry the parts out, kept results first, and show them.

    Raises:
        ConfigError: no such part.
    """
    import json

    from rich.console import Console
    from rich.progress import Progress

    from comal.errors import ConfigError, near_match
    from comal.experiments.matrix_games.cells import FULL, QUICK, parts_of, results, total
    from comal.experiments.matrix_games.figures import comparison_figure, comparison_table, interpreters, schedule_table
    from comal.pipeline.disk.experiment_folder import MatrixGamesFolder
    from comal.records import to_json
    from comal.reports.figures.games import save

    if wanted == ["list"]:
        typer.echo("\n".join(PARTS))
        return
    parts = PARTS if "all" in wanted else tuple(wanted)
    for part in parts:
        if part not in PARTS:
            raise ConfigError("--part", f"`{part}` is no comparison.{near_match(part, PARTS)}, all, list")
    scale = FULL if full else QUICK
    out, err = Console(highlight=False, soft_wrap=True, width=_WIDTH), Console(stderr=True)
    own = MatrixGamesFolder(folder)
    shown = {}
    for part in (one for named in parts for one in parts_of(named, scale)):
        with Progress(console=err, transient=True) as progress:
            bar = progress.add_task(part, total=total(part, scale))
            found = []
            for result in results(part, scale, own.cells.path):
                found.append(result)
                progress.advance(bar)
        shown[part] = found
        if as_json:
            continue
        if part == "schedules":
            out.print(schedule_table(found))
        else:
            for interpreter in interpreters(found):
                out.print(comparison_table(part, found, interpreter))
            figure = own.figure(part)
            save(comparison_figure(part, found), figure)
            typer.echo(f"figure: {figure}", err=True)
        out.print()
    if as_json:
        typer.echo(json.dumps({"full": full, "parts": to_json(shown)}))
    else:
        out.print(
            "last, best: means of the last and the least gap of each run, ± half a 95% interval over seeds (exact:"
        )
        out.print("games); tuned: the last gap at the best of all settings tried, chosen on the games shown")
