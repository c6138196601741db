"""Options that are given where they do nothing: a mistake, for what they ask would silently not happen."""

from __future__ import annotations

from collections.abc import Iterable

import typer

from comal.errors import ConfigError


def refuse_given(context: typer.Context, names: Iterable[str], why: str) -> None:
    """Refuse options that stand on the command line.

    Args:
        context: of the command.
        names: of its parameters, as the function calls them.
        why: what to say after the option's name and before the advice to leave it out.

    Raises:
        ConfigError: the first that was given.
    """
    options = {parameter.name: parameter for parameter in context.command.params}
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise ConfigError(max(options[name].opts, key=len), f"{why}; leave it out")
