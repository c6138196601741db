"""`comal reproduce`: experiments of the literature, from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from comal.cli.in_effect import refuse_given
from comal.cli.reproduce_lm import lm

if TYPE_CHECKING:
    from comal.reports.figures.games import Course

app = typer.Typer(help="Repeat experiments of the literature.", no_args_is_help=True)
app.command()(lm)


@app.callback()
def reproduce() -> None:
    """Repeat experiments of the literature."""


@app.command()
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
        from comal.cli.reproduce_synthetic import compare

        own = ("output", "steps", "eta", "tau", "inner_steps", "start")
        refuse_given(context, own, "belongs to the three-answer experiment, which --part replaces")
        if part == ["list"]:
            refuse_given(context, ("full", "folder", "as_json"), "does nothing to a list of names")
        compare(part, full, folder, as_json)
        return
    refuse_given(context, ("full", "folder"), "belongs to the comparisons (--part NAME, or `--part all`)")
    from comal.algorithms.comal import COMAL
    from comal.algorithms.inpo import INPO
    from comal.algorithms.mwu import MWU
    from comal.algorithms.nash_md import NashMD
    from comal.algorithms.sppo import SPPO
    from comal.cli.solve import parse_policy
    from comal.errors import ConfigError
    from comal.games import named_game, nash_policy, solve
    from comal.reports.figures.games import Course, save, synthetic_figure

    game = named_game("paper")
    try:
        methods = {
            "self-play (MWU, iterative IPO)": MWU(eta),
            "SPPO": SPPO(eta),
            "INPO": INPO(eta, tau),
            "Nash-MD": NashMD(eta, tau),
            f"COMAL, {inner_steps} inner steps": COMAL(inner=INPO(eta, tau), inner_steps=inner_steps, update="copy"),
            "COMAL, certificate": COMAL(inner=INPO(eta, tau)),
        }
    except ValueError as error:
        raise ConfigError("synthetic", str(error)) from error
    courses = []
    for name, rule in methods.items():
        # two products a step at most: Nash-MD's opponent is not the policy whose gap is measured
        solution = solve(game, rule, 0.0, 2 * steps + 2, parse_policy(start), "policies")
        trajectory = solution.trajectory
        assert trajectory is not None
        assert trajectory.policies is not None
        within = trajectory.prox_steps <= steps
        courses.append(
            Course(name, trajectory.prox_steps[within], trajectory.gaps[within], trajectory.policies[within])
        )
    save(synthetic_figure(game, courses, nash_policy(game)), output)
    if as_json:
        import json

        typer.echo(
            json.dumps(
                {
                    "game": game.name,
                    "steps": steps,
                    "methods": [
                        {"name": c.name, "duality_gap": float(c.gaps[-1]), "policy": c.policies[-1].tolist()}
                        for c in courses
                    ],
                }
            )
        )
    else:
        _print(courses, steps)
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
