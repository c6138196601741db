"""`comal reproduce lm`: the experiment on a language model, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from comal.recipes import DEFAULT_RECIPE

if TYPE_CHECKING:
    from comal.experiments.language_model.experiment import Experiment
    from comal.experiments.language_model.results import PartResult
    from comal.experiments.language_model.runs import Watch
    from comal.pipeline.processes.pool import Job

_WIDTH = 150  # of tables that no terminal limits


def lm(
    part: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART", help="A part of the experiment, `all` (default) for every one, `list` for names and costs."
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where runs, figures and the page go; they continue there.",
            show_default="runs/lm",
        ),
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="Recipe whose algorithm is COMAL; everything is derived from it.")
    ] = DEFAULT_RECIPE,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of it, as for `comal run`.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="N,N,N", help="Seeds.", show_default="0,1,2, and 0 with --quick")
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="A sixth of the steps on a quarter of the prompts, one seed, in runs/lm-quick."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print every run that is left, its steps and judged pairs; run nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """The language-model experiment: every method, loss and schedule at equal judged pairs, on several seeds.

    Hours with the default recipe; killed at any moment, the same command continues. Tables go to stdout, and with their
    figures and the commands that made them to DIR/results.md.
    """
    import json

    from comal.experiments.language_model.basis import quick_recipe
    from comal.experiments.language_model.experiment import (
        Experiment,
        command_options,
        default_folder,
        default_seeds,
        parse_seeds,
        planned,
    )
    from comal.recipes.load import load_recipe

    loaded = load_recipe(recipe, settings or [])
    if quick:
        loaded = quick_recipe(loaded)
    numbers = default_seeds(quick) if seeds is None else parse_seeds(seeds)
    where = folder or default_folder(quick)
    wanted = part or ["all"]
    options = command_options(recipe, settings or [], numbers, quick, where)
    experiment = Experiment(loaded, planned(wanted, loaded, _tell), numbers, where, options)
    if wanted == ["list"] or dry_run:
        _show_plan(experiment, dry_run, as_json)
        return
    results = experiment.carry_out(_watch(where), _tell)
    page = experiment.write(results)
    if as_json:
        shown = {name: results[name].to_json() for name in results}
        typer.echo(json.dumps({"folder": str(where), "seeds": numbers, "parts": shown}, ensure_ascii=False))
    else:
        _print(list(results.values()))
    _tell(f"page     {page}")


def _tell(line: str) -> None:
    typer.echo(line, err=True)


def _watch(folder: Path) -> Watch:
    """Shows runs, and exploiters, while they are trained."""
    from comal.cli.display.run import RunDisplay
    from comal.reports.terminal.certificate import look_heading, look_row

    def watch(job: Job, names: list[str], steps: int) -> RunDisplay:
        if job == "exploiter":
            return RunDisplay(folder, names, steps, look_heading, look_row)
        return RunDisplay(folder, names, steps)

    return watch


def _show_plan(experiment: Experiment, runs: bool, as_json: bool) -> None:
    import json

    from rich.console import Console
    from rich.table import Table

    from comal.experiments.language_model.results import Cost

    costs = experiment.costs()
    total = sum(costs.values(), Cost(0, 0, 0.0))
    if as_json:
        typer.echo(json.dumps(experiment.plan_json(costs, total), ensure_ascii=False))
        return
    out = Console(highlight=False, soft_wrap=True, width=_WIDTH)
    table = Table(box=None, pad_edge=False)
    for heading in ("part", "left to train", "judged pairs", "CPU hours", "what"):
        table.add_column(heading, justify="left" if heading in ("part", "what") else "right", no_wrap=heading != "what")
    for name, cost in costs.items():
        table.add_row(
            name, str(cost.methods), f"{cost.pairs:,}", f"{cost.seconds / 3600:.1f}", experiment.parts[name].about
        )
    table.add_row("all", str(total.methods), f"{total.pairs:,}", f"{total.seconds / 3600:.1f}", "")
    out.print(table)
    seeds = ", ".join(map(str, experiment.seeds))
    out.print(f"for seeds {seeds}; a method that several parts show is counted where it comes first;")
    out.print("CPU hours of one core, roughly, for the model of the recipe `docstrings`, without evaluations")
    if not runs:
        return
    for part in experiment.parts.values():
        out.print(f"\n{part.name}", style="bold")
        for run in part.runs:
            for key in run.methods:
                taken = run.costs[key]
                out.print(f"  {part.titles.get(key, key)}: {taken.steps} steps, {taken.pairs:,} judged pairs, "
                          f"{taken.answers:,} answers, in {run.name}-seed*", markup=False)  # fmt: skip
        for title, reason in part.left_out.items():
            out.print(f"  not run: {title}. {reason}", markup=False)


def _print(results: Sequence[PartResult]) -> None:
    from rich.console import Console

    from comal.experiments.language_model.page import READING, exploited_rows, rows, terminal

    out = Console(highlight=False, soft_wrap=True, width=_WIDTH)
    for result in results:
        for table in result.tables:
            headings, cells = rows(table)
            out.print(terminal(headings, cells, f"{result.part.title}, judged by {table.judge}"))
            out.print()
        if result.exploited:
            headings, cells = exploited_rows(result.exploited)
            out.print(terminal(headings, cells, "exploiters trained for the purpose, on fresh prompts"))
            out.print()
        for title, reason in result.part.left_out.items():
            out.print(f"not run: {title}. {reason}", markup=False)
    out.print(READING, markup=False)
