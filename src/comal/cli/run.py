"""`comal run`: align a model as a recipe says, or continue."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from comal.cli.completion import recipes
from comal.recipes import DEFAULT_RECIPE

if TYPE_CHECKING:
    from comal.recipes.settings import Recipe


def run(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A recipe's name or YAML file; the default needs no model, network or GPU.", autocompletion=recipes
        ),
    ] = DEFAULT_RECIPE,
    output_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the run.", show_default="runs/NAME")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. steps=20 or algorithm.tau=0.1."),
    ] = None,
    track: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Tell a tracker of the whole run: tensorboard, wandb or mlflow; may come again."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print result.json on stdout instead of tables.")] = False,
) -> None:
    """Align a language model: supervised stage, proximal steps, evaluation, report.

    Interrupted or killed at any moment, the same command continues where it stopped and ends with the same figures.
    """
    from comal.recipes.load import load_recipe

    plan = load_recipe(recipe, settings or [])
    from comal.cli.display.run import RunDisplay
    from comal.pipeline.disk.layout import RUNS, RunFolder
    from comal.pipeline.disk.provenance import command_line
    from comal.pipeline.processes.distributed import on_main, prepare_process, state
    from comal.pipeline.run.resolved import method_names
    from comal.pipeline.run.run import Run
    from comal.reports.html.run_report import write_report
    from comal.reports.trackers.follow import Follower
    from comal.reports.trackers.opening import check_trackers

    check_trackers(track or [])
    folder = output_dir or RUNS / plan.name
    prepare_process(plan.threads)
    shown = state().is_main_process
    command = command_line(recipe, settings or [], state().num_processes)
    with Run(folder, plan, command) as started:
        if shown:
            typer.echo(f"run folder: {folder}", err=True)
            typer.echo(_what(recipe, plan), err=True)
            if (processes := state().num_processes) > 1:
                typer.echo(f"{processes} processes: {started.shares()}", err=True)
            if started.ended_after is not None:
                kept = RunFolder(folder).earlier_result(started.ended_after)
                typer.echo(f"extending: it had ended after {started.ended_after} steps; kept: {kept}", err=True)
        names = list(method_names(plan))
        display = RunDisplay(folder, names, plan.steps) if shown else contextlib.nullcontext()
        told = Follower(folder, names, track or [], _warn) if shown and track else contextlib.nullcontext()
        with display, told:
            result = started.execute()
            on_main(lambda: write_report(folder))
    if not shown:
        return
    left = RunFolder(folder)
    if as_json:
        typer.echo(left.result_path.read_text(encoding="utf-8"), nl=False)
        return
    from comal.reports.terminal.run import print_result

    print_result(result)
    typer.echo(f"\nreport   {left.report}", err=True)
    typer.echo(f"figures  {left.result_path}", err=True)
    if left.model.is_dir():
        typer.echo(f"model    {left.model}", err=True)
        typer.echo(f'         load it with transformers.AutoModelForCausalLM.from_pretrained("{left.model}")', err=True)
    if left.adapter.is_dir():
        typer.echo(f"adapter  {left.adapter}", err=True)


def _warn(sentence: str) -> None:
    typer.echo(f"warning: {sentence}", err=True)


def _what(name: str, plan: Recipe) -> str:
    """What is about to be done, for how long as far as the recipe says so, and how to stop it."""
    from comal.pipeline.cost.walk import method_cost
    from comal.pipeline.run.resolved import resolve
    from comal.recipes.load import recipe_text

    methods = [method_cost(method, rule, plan) for method, rule in resolve(plan).methods.items()]
    answers, pairs = (sum(cost[key] for cost in methods) for key in ("answers", "comparisons"))
    named = ", ".join(cost["name"] for cost in methods)
    takes = re.search(r"^# Takes +(.+)$", recipe_text(name), re.MULTILINE)
    time = f"Takes {takes[1]}. " if takes else ""
    steps = f"{plan.steps} proximal step" + "s" * (plan.steps != 1)
    return (
        f"{plan.name}: {steps} of {named}; at most {answers:,} sampled answers and {pairs:,} "
        f"judged pairs, then the evaluation. {time}Stop it by Ctrl-C at any moment: the same command continues."
    )
