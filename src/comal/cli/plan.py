"""`comal plan`: what a recipe would do and cost, without loading any weights."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def plan(
    recipe: Annotated[str, typer.Argument(help="A recipe's name or YAML file.")] = "docstrings",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, as for `comal run`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Validate a recipe and print roles, derived quantities, judge calls, tokens and disk, without loading weights."""
    from comal.config.load import load_recipe
    from comal.pipeline.estimate import estimate_cost

    loaded = load_recipe(recipe, settings or [])
    cost = estimate_cost(loaded)
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
    for name, value in _lines(cost["total"]):
        table.add_row(name, value)
    console.print(table)


def _lines(total: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("methods × proximal steps", f"{total['methods']} × {total['steps']}"),
        ("training prompts", f"{total['prompts_available']:,} distinct, {total['prompts_used']:,} used a method"),
        ("sampled answers", f"{total['answers']:,}"),
        ("sampled tokens, at most", f"{total['tokens']:,}"),
        ("compared pairs of answers", f"{total['comparisons']:,}"),
        ("judge calls, at most", f"{total['judge_calls']:,} (cache and repeated answers spare some)"),
        ("pairs of the evaluations", f"{total['evaluation_comparisons']:,}"),
        ("checkpoints on disk", f"up to {total['checkpoints']}" + _bytes(total["disk_bytes"])),
    ]


def _bytes(count: int | None) -> str:
    if count is None:
        return " (size not known without the model's config)"
    return f", about {count / 2**30:.1f} GiB" if count >= 2**30 else f", about {count / 2**20:.0f} MiB"
