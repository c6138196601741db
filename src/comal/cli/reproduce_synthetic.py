"""`comal reproduce synthetic`: the three-answer experiment, and comparisons of the whole family on matrix games."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from comal.cli.in_effect import refuse_given

if TYPE_CHECKING:
    from comal.reports.figures.games import Course

_WIDTH = 110  # of the tables: method, two gaps with an interval, one without, and a setting


def synthetic(
    context: typer.Context,
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where the figure goes.")] = Path("synthetic.png"),
    steps: Annotated[int, typer.Option(help="Prox steps of each method.", min=1)] = 3000,
    eta: Annotated[float, typer.Option(help="Step size of all methods.")] = 0.15,
    tau: Annotated[float, typer.Option(help="Weight of the KL to the reference.")] = 0.1,
    inner_steps: Annotated[int, typer.Option(help="COMAL's inner steps a reference update.", min=1)] = 100,
    start: Annotated[str, typer.Option(metavar="P,P,P", help="Initial policy over a, b, c.")] = "0.2,0.5,0.3",
    part: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART",
            help="A comparison of the whole family instead; `all` for every one, `list` for their names.",
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Comparisons with all games, seeds and grids; hours.")] = False,
    folder: Annotated[
        Path, typer.Option(metavar="DIR", help="Where comparisons keep their results and figures; they continue there.")
    ] = Path("synthetic"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """The three-answer experiment of the COMAL paper: which methods reach the Nash policy (4, 3, 4)/11?

    Self-play cycles, a fixed reference converges beside it, COMAL converges to it; the last row is COMAL with the
    number of inner steps left to its certificate. With --part, the whole family on many games, exact and from sampled
    comparisons, at equal oracle calls.
    """
    if part:
        own = ("output", "steps", "eta", "tau", "inner_steps", "start")
        refuse_given(context, own, "belongs to the three-answer experiment, which --part replaces")
        if part == ["list"]:
            refuse_given(context, ("full", "folder", "as_json"), "does nothing to a list of names")
        _compare(part, full, folder, as_json)
        return
    refuse_given(context, ("full", "folder"), "belongs to the comparisons (--part NAME, or `--part all`)")
    from comal.cli.solve import parse_policy
    from comal.experiments.matrix_games.three_answers import courses, game
    from comal.games import nash_policy
    from comal.reports.figures.games import save, synthetic_figure

    found = courses(steps, eta, tau, inner_steps, parse_policy(start))
    save(synthetic_figure(game(), found, nash_policy(game())), output)
    if as_json:
        import json

        typer.echo(
            json.dumps(
                {
                    "game": game().name,
                    "steps": steps,
                    "methods": [
                        {"name": c.name, "duality_gap": float(c.gaps[-1]), "policy": c.policies[-1].tolist()}
                        for c in found
                    ],
                }
            )
        )
    else:
        _print(found, steps)
    typer.echo(f"figure: {output}", err=True)


def _print(courses: list[Course], steps: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column(f"after {steps} prox steps", no_wrap=True)
    for heading in ("gap", "min*", "max*", "a", "b", "c"):
        table.add_column(heading, justify="right")
    for course in courses:
        late = course.gaps[-max(1, len(course.gaps) // 10) :]
        table.add_row(
            course.name,
            f"{course.gaps[-1]:.1e}",
            f"{late.min():.1e}",
            f"{late.max():.1e}",
            *(f"{p:.3f}" for p in course.policies[-1]),
        )
    console = Console(highlight=False)
    console.print(table)
    console.print("gap: duality gap of the last policy; *: over the last 10% of the steps")


def _compare(wanted: list[str], full: bool, folder: Path, as_json: bool) -> None:
    """Carry the parts out, kept results first, and show them.

    Raises:
        ConfigError: no such part.
    """
    import json

    from rich.console import Console
    from rich.progress import Progress

    from comal.experiments.matrix_games.cells import FULL, PARTS, QUICK, planned, results, total
    from comal.experiments.matrix_games.figures import comparison_figure, comparison_table, interpreters, schedule_table
    from comal.pipeline.disk.experiment_folder import MatrixGamesFolder
    from comal.records import to_json
    from comal.reports.figures.games import save

    if wanted == ["list"]:
        typer.echo("\n".join(PARTS))
        return
    scale = FULL if full else QUICK
    out, err = Console(highlight=False, soft_wrap=True, width=_WIDTH), Console(stderr=True)
    own = MatrixGamesFolder(folder)
    shown = {}
    for part in planned(wanted, scale):
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
