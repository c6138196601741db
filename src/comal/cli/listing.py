"""`comal list`: what there is to choose from."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from comal.cli.completion import KINDS, kinds


def list_(
    kind: Annotated[
        str | None, typer.Argument(help=f"One of {', '.join(KINDS)}; everything by default.", autocompletion=kinds)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List algorithms, judges, losses, engines, games, populations and recipes with their options."""
    from comal.errors import ConfigError, near_match

    if kind is not None and kind not in KINDS:
        raise ConfigError("kind", f"`{kind}` is not a kind of thing to list.{near_match(kind, KINDS)}")
    found = {k: _entries(k) for k in ([kind] if kind else KINDS)}
    if as_json:
        import json

        typer.echo(json.dumps(found))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    for title, entries in found.items():
        table = Table("name", "what it is", "options", title=title, title_justify="left", box=None, pad_edge=False)
        for entry in entries:
            table.add_row(*(escape(entry[column]) for column in ("name", "summary", "options")))
        Console().print(table)
        Console().print()


def _entries(kind: str) -> list[dict[str, str]]:
    if kind in ("games", "populations"):
        from comal.games.named import NAMED
        from comal.games.populations.named import NAMED_POPULATIONS

        makers: dict[str, Callable[..., object]] = {**(NAMED if kind == "games" else NAMED_POPULATIONS)}
        return [
            {
                "name": name,
                "summary": (make.__doc__ or "").strip().splitlines()[0],
                "options": ", ".join(f"{p.name}={p.default!r}" for p in inspect.signature(make).parameters.values()),
            }
            for name, make in makers.items()
        ]
    if kind == "recipes":
        from comal.recipes.load import load_recipe, recipe_names, recipe_text

        return [
            {
                "name": name,
                "summary": recipe_text(name).splitlines()[0].lstrip("# "),
                "options": f"{load_recipe(name).steps} steps",
            }
            for name in recipe_names()
        ]
    import dataclasses

    from comal.plugins import ALGORITHMS, ENGINES, JUDGES, LOSSES

    family = {"algorithms": ALGORITHMS, "judges": JUDGES, "losses": LOSSES, "engines": ENGINES}[kind]
    entries = []
    for name in family.names():
        cls = family.find(name, kind)
        entries.append(
            {
                "name": name,
                "summary": (cls.__doc__ or "").strip().splitlines()[0],
                "options": ", ".join(_option(f) for f in dataclasses.fields(cls) if f.init),
            }
        )
    return entries


def _option(field: Any) -> str:
    import dataclasses

    if field.default is not dataclasses.MISSING:
        return f"{field.name}={field.default!r}"
    return str(field.name) if field.default_factory is dataclasses.MISSING else f"{field.name}=…"
