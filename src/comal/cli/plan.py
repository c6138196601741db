"""`comal plan`: what a recipe would do and cost; weights are loaded only to measure what they take."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from comal.cli.completion import recipes
from comal.cli.display.calibration import size
from comal.cli.in_effect import refuse_given
from comal.recipes import DEFAULT_RECIPE


def plan(
    context: typer.Context,
    recipe: Annotated[
        str, typer.Argument(help="A recipe's name or YAML file.", autocompletion=recipes)
    ] = DEFAULT_RECIPE,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, as for `comal run`.")
    ] = None,
    processes: Annotated[
        int,
        typer.Option("--processes", metavar="N", min=1, help="Of torchrun, a device each: for the memory of a device."),
    ] = 1,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Load the model and measure a few batches on this machine, for about a minute: hours, bytes, money.",
        ),
    ] = False,
    ask_judge: Annotated[
        bool,
        typer.Option("--ask-judge", help="With --calibrate: put a few questions to a judge that costs money, too."),
    ] = False,
    hour_price: Annotated[
        float | None, typer.Option(metavar="MONEY", min=0, help="With --calibrate: what an hour of this machine costs.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Validate a recipe and print roles, derived quantities, judge calls, tokens and disk, without loading weights.

    With --calibrate the model is loaded, and what a run takes on this machine is measured and summed up.
    """
    from comal.pipeline.cost.recipe import recipe_cost
    from comal.recipes.load import load_recipe

    if not calibrate:
        refuse_given(context, ["ask_judge", "hour_price"], "it does nothing without --calibrate")
    loaded = load_recipe(recipe, settings or [])
    cost = recipe_cost(loaded, processes)
    if calibrate:
        from comal.cli.display.calibration import calibrating
        from comal.pipeline.cost.calibration import calibrate as measure

        with calibrating():
            cost["calibration"] = measure(loaded, cost, ask_judge=ask_judge, hour_price=hour_price)
    if as_json:
        import json

        typer.echo(json.dumps(cost))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(f"[bold]{cost['name']}[/bold]: {cost['policy']}, judged by {cost['judge']}\n")
    for method in cost["methods"]:
        console.print(f"[bold]{method['name']}[/bold] ({method['algorithm']})")
        for line in method["program"]:
            console.print(f"  {line}", markup=False)
        if method["derived"]:
            console.print("  " + ", ".join(f"{k} = {v:.4g}" for k, v in method["derived"].items()), markup=False)
        console.print()
    table = Table("what", "how much", box=None, pad_edge=False, show_header=False)
    for name, value in [
        *_lines(cost["total"]),
        ("answers are drawn by", _engine(cost["engine"])),
        ("afterwards, comal certify", _certify(cost["certify"], cost["total"])),
    ]:
        table.add_row(name, value)
    console.print(table)
    if calibrate:
        from comal.cli.display.calibration import show

        show(console, cost["calibration"])
    for warning in cost["total"]["warnings"]:
        typer.echo(f"warning: {warning}", err=True)


def _lines(total: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("methods × proximal steps", f"{total['methods']} × {total['steps']}"),
        *_updates(total["optimizer_steps"]),
        ("training prompts", _prompts(total)),
        ("sampled answers", f"{total['answers']:,}"),
        ("sampled tokens, at most", f"{total['tokens']:,}"),
        ("compared pairs of answers", f"{total['comparisons']:,}"),
        ("judge calls, at most", f"{total['judge_calls']:,} ({_users(total['users'])}repeated answers spare some)"),
        ("pairs of the evaluations", f"{total['evaluation_comparisons']:,}"),
        *(line for use, cost in total["judge_spend"].items() for line in _spend(use, cost)),
        ("checkpoints on disk", f"up to {total['checkpoints']}" + _bytes(total["disk_bytes"])),
        *_memory(total["memory"]),
        *(("not known here", what) for what in total["unknown"]),
    ]


def _users(count: int) -> str:
    return "cache and " if count == 1 else f"{count} users are asked about each pair; cache and "


def _engine(engine: dict[str, Any]) -> str:
    """Its name, and the options that are given or not empty."""
    options = [f"{name} {value}" for name, value in engine.items() if name != "name" and value not in (None, {})]
    return ", ".join([str(engine["name"]), *options])


def _updates(count: int | None) -> list[tuple[str, str]]:
    return [] if count is None else [("optimiser steps a proximal step", f"{count:,}")]


def _memory(needed: dict[str, int] | None) -> list[tuple[str, str]]:
    """What a device holds by stage, with its parts; of a model that is not at hand, that it is not known."""
    if needed is None:
        return [("memory a device", "not known without the model's config")]
    shards = needed["shards"]
    scorer = [f"scorer {size(needed['scorer'])}"] if needed["scorer"] else []
    drawn = [
        f"policy {size(needed['weights'])}",
        *scorer,
        f"engine {size(needed['engine'])}"
        if needed["engine"]
        else f"keys and values of answers {size(needed['answers'])}",
    ]
    trained = [
        f"policy {size(needed['weights'] // shards)}",
        *(scorer if shards == 1 else []),
        f"gradients and optimiser {size((needed['gradients'] + needed['optimizer']) // shards)}",
        f"activations {size(needed['activations'])}",
    ]
    split = "" if shards == 1 else f", in {shards} shards"
    return [
        ("memory a device, about", f"{size(needed['peak'])} (a local judge's own comes on top)"),
        ("  sampling and scoring" if scorer else "  sampling", f"{size(needed['sampling'])} ({', '.join(drawn)})"),
        (f"  training{split}", f"{size(needed['training'])} ({', '.join(trained)})"),
    ]


def _certify(cost: dict[str, Any], total: dict[str, Any]) -> str:
    """A certification with default settings; without a run's times its steps are weighed against the run's own."""
    if "problem" in cost:
        return f"needs settings of its own ({cost['problem']})"
    share = cost["steps"] / (total["methods"] * total["steps"])
    time = f"{share:.2g} × the run's" if cost["minutes"] is None else f"about {cost['minutes']:,} min"
    exploiters = f"{cost['exploiters']} exploiters, {cost['steps']:,} steps ({time})"
    return f"at most {cost['judge_calls']:,} judge calls; {exploiters}"


def _prompts(total: dict[str, Any]) -> str:
    if total["prompts_available"] is None:
        return f"at most {total['prompts_used']:,} used a method; how many there are is not known here"
    return f"{total['prompts_available']:,} distinct, {total['prompts_used']:,} used a method"


def _spend(use: str, cost: dict[str, Any]) -> list[tuple[str, str]]:
    """What a metered judge costs, with the bound first."""
    lines = []
    for name, known, said in (
        ("most", "at most", "a byte a token, every answer at its limit, without repetitions"),
        ("usual", "usually below", "4 bytes a token"),
    ):
        spend = cost[name]
        money = f", {spend['cost']:,.2f} of money" if spend["cost"] else ""
        tokens = spend["input_tokens"] + spend["output_tokens"]
        lines.append((f"paid judge in {use}, {known}", f"{spend['calls']:,} calls, {tokens:,} tokens{money} ({said})"))
    if cost["budgets"]:
        listed = ", ".join(f"{option} {limit:,}" for option, limit in cost["budgets"].items())
        lines.append((f"paid judge in {use}, budget", listed))
    return lines


def _bytes(count: int | None) -> str:
    return " (size not known without the model's config)" if count is None else f", about {size(count)}"
