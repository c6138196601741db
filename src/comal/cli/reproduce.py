"""`comal reproduce`: experiments of the literature, from scratch."""

from __future__ import annotations

import typer

from comal.cli.populations.universal import universal
from comal.cli.reproduce_lm import lm
from comal.cli.reproduce_synthetic import synthetic

app = typer.Typer(help="Repeat experiments of the literature.", no_args_is_help=True)
app.command()(lm)
app.command()(synthetic)
app.command()(universal)


@app.callback()
def reproduce() -> None:
    """Repeat experiments of the literature."""
