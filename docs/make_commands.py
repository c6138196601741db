"""Write docs/commands.md from the command line itself: `make docs`; a test checks that it is up to date."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from comal.cli import app

COMMANDS = (
    (),
    ("init",),
    ("run",),
    ("plan",),
    ("status",),
    ("eval",),
    ("certify",),
    ("report",),
    ("export",),
    ("solve",),
    ("audit",),
    ("serve",),
    ("list",),
    ("reproduce",),
    ("reproduce", "synthetic"),
    ("reproduce", "lm"),
    ("reproduce", "universal"),
    ("cache",),
    ("cache", "stats"),
    ("cache", "export"),
    ("cache", "prune"),
)


def cell(words: str) -> str:
    """Words inside a table."""
    return " ".join(words.split()).replace("|", " or ").replace("*", "\\*")


def default(parameter: Any, context: Any) -> str:
    """What is taken where nothing is given, in words; empty where that is nothing."""
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    value = parameter.get_default(context)
    if value is None or value is False or value == () or parameter.required:
        return ""
    if value is True:
        return "on"
    return f"`{value}`"


def rows(command: Any, context: Any) -> Iterator[str]:
    """A table of arguments and options, but --help."""
    parameters = [p for p in command.params if not p.hidden]
    if not parameters:
        return
    yield "| argument or option | what it is | default |\n|---|---|---|"
    for parameter in parameters:
        metavar = parameter.metavar or ("" if getattr(parameter, "is_flag", False) else parameter.display_type(context))
        if parameter.param_type_name == "argument":
            name = parameter.metavar or parameter.name
        else:
            names = [*sorted(parameter.opts, key=len), *parameter.secondary_opts]
            name = ", ".join(names) + (f" {metavar}" if metavar else "")
        value = "required" if parameter.required else default(parameter, context)
        yield f"| `{cell(name)}` | {cell(parameter.help or '')} | {cell(value)} |"


def section(words: tuple[str, ...]) -> str:
    """One command: its usage, what it does, and its parameters."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("comal", [], resilient_parsing=True)
    for word in words:
        command = command.commands[word]
        context = command.make_context(word, [], parent=context, resilient_parsing=True)
    shown = CliRunner().invoke(app, [*words, "--help"], prog_name="comal")
    if shown.exit_code != 0:
        raise RuntimeError(shown.output)
    name = " ".join(("comal", *words))
    usage = " ".join((name, *command.collect_usage_pieces(context)))
    parts = [f"## {name}", f"```text\n{usage}\n```", inspect.cleandoc(command.help or "")]
    parts.append("\n".join(rows(command, context)))
    parts.append(command.epilog or "")
    children = getattr(command, "commands", {})
    if children:
        listed = (f"| `{child}` | {cell(inspect.cleandoc(c.help).split('.')[0])} |" for child, c in children.items())
        parts.append("\n".join(("| command | what it does |", "|---|---|", *listed)))
    return "\n\n".join(part for part in parts if part)


def text() -> str:
    """The page."""
    top = "# Commands\n\nMade from the code by `make docs`. Every command explains itself with `--help`."
    return "\n\n".join((top, *map(section, COMMANDS))) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "output", nargs="?", type=Path, default=Path(__file__).with_name("commands.md"), help="file of the page"
    )
    parser.parse_args(arguments).output.write_text(text(), "utf-8")


if __name__ == "__main__":
    main()
