"""`comal report`: a run's page, or several runs on one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, finished or not.")],
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where the page goes.",
            show_default="report.html in the run, comparison.html for several",
        ),
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write the report of a run, or compare several: one HTML file that needs no network.

    Of an unfinished run the page says what is not there yet. The file's path is printed on stdout.
    """
    from comal.errors import RunError
    from comal.pipeline.disk.layout import COMPARISON, RunFolder

    if output is not None and output.is_dir():
        raise RunError(str(output), "this is a folder; give --output the name of a file")
    if len(runs) == 1:
        from comal.reports.html.run_report import write_report

        page = write_report(runs[0], output)
    else:
        from comal.reports.html.compare_report import write_comparison

        page = write_comparison(runs, output or COMPARISON)
    if as_json:
        import json

        finished = [RunFolder(run).is_finished for run in runs]
        typer.echo(json.dumps({"report": str(page), "runs": [str(run) for run in runs], "finished": finished}))
    else:
        typer.echo(str(page))
    if open_it:
        import webbrowser

        if not webbrowser.open(page.resolve().as_uri()):
            typer.echo(f"no browser could be started; open {page} by hand", err=True)
