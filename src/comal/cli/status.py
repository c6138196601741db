"""`comal status`: what a run has done and what is left."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def status(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what is done and what is left of a run, finished or not."""
    from comal.pipeline.disk.layout import RunFolder
    from comal.pipeline.disk.progress import read_state
    from comal.pipeline.run.resolved import method_names

    recipe = RunFolder(run).recipe()
    state = read_state(run, list(method_names(recipe)), recipe.steps)
    needs_supervised = recipe.supervised is not None
    parts = {
        "supervised": ("done" if state.supervised else "to do") if needs_supervised else "not needed",
        **{m.name: f"{m.steps}/{recipe.steps} steps" + (", done" if m.done else "") for m in state.methods},
        "evaluation": "done" if state.evaluated else "to do",
    }
    if as_json:
        import json

        record = {
            "run": str(run),
            "finished": state.evaluated,
            "steps": {m.name: m.steps for m in state.methods},
            "steps_left": recipe.steps * len(state.methods) - state.steps,
            "parts": parts,
        }
        typer.echo(json.dumps(record))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("part", "state", box=None, pad_edge=False)
    for name, text in parts.items():
        table.add_row(name, text)
    Console().print(table)
    if not state.evaluated:
        typer.echo("type the `comal run` command that made it again to continue", err=True)
