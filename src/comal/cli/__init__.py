"""The command line: one file a command.

Exit status: 0 done; 1 an error in comal itself, whose details are in a file; 2 something that the user can mend; 3 the
command ran and its answer is no (`comal solve` did not converge); 130 interrupted.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import comal
from comal.cli import audit, cache, certify, init, listing, plan, report, reproduce, run, solve, status
from comal.cli import eval as evaluation
from comal.cli.trainers import export, serve
from comal.errors import ComalError
from comal.pipeline.processes.garbage import collect_less_often

_LONGEST = 300
_TRACEBACK = "--traceback"
_LOST = ("Connection closed by peer", "Connection reset by peer", "remote process exited")
"""What torch.distributed says where another process is gone."""


class _Group(TyperGroup):
    """Shows what a user can fix as one message, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ComalError as error:
            typer.echo(f"error: {_printable(str(error))}", err=True)
            raise typer.Exit(error.exit_code) from error
        except BrokenPipeError:
            raise  # whoever read our output has seen enough
        except (OSError, sqlite3.Error, RuntimeError, ValueError, ImportError) as error:
            reason = _of_this_machine(error)
            if reason is None:
                raise
            typer.echo(f"error: {_printable(reason)}", err=True)
            raise typer.Exit(ComalError.exit_code) from error
        except KeyboardInterrupt:
            typer.echo("\ninterrupted; type the same command again to continue", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    name="comal",
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Align language models with general, possibly intransitive, preferences.",
    epilog="Exit status: 0 done, 1 an error in comal itself, 2 something to mend, 3 not converged, 130 interrupted.",
)


def _of_this_machine(error: Exception) -> str | None:
    """What the machine refuses (a full disk, a place that cannot be written), in words; None for anything else."""
    from comal.pipeline.disk.files import KEPT_SO_FAR, write_failure

    if isinstance(error, sqlite3.Error):
        return f"a data base of verdicts: {error}; {KEPT_SO_FAR}"
    reason = write_failure(error)
    if reason is None:
        return None
    place = getattr(error, "filename", None)
    return f"{reason}; {KEPT_SO_FAR}" if place is None else f"{place}: {reason}; {KEPT_SO_FAR}"


def _printable(text: str) -> str:
    """The text with what no terminal can be sent (halves of surrogate pairs) escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(comal.__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    traceback: Annotated[
        bool, typer.Option(_TRACEBACK, help="Show where in the program an unforeseen error came from.")
    ] = False,
) -> None:
    pass


app.command()(init.init)
app.command()(run.run)
app.command()(plan.plan)
app.command()(status.status)
app.command("eval")(evaluation.eval_)
app.command()(certify.certify)
app.command()(report.report)
app.command()(export.export)
app.command()(solve.solve)
app.command()(audit.audit)
app.command()(serve.serve)
app.add_typer(reproduce.app, name="reproduce")
app.add_typer(cache.app, name="cache")
app.command("list")(listing.list_)


def main() -> None:
    """Entry point of the `comal` command. No traceback reaches a user who has not asked for one."""
    collect_less_often()
    try:
        app(prog_name="comal")
    except Exception as error:
        if _TRACEBACK in sys.argv:
            raise
        if _lost_the_others(error):
            typer.echo("error: another process of this command has ended; the reason is what that one says", err=True)
            sys.exit(ComalError.exit_code)
        first = (str(error).strip().splitlines() or [""])[0]
        said = _printable(f"{type(error).__name__}: {first}"[:_LONGEST])
        typer.echo(f"error in comal: {said} ({_details(error)})", err=True)
        sys.exit(1)


def _lost_the_others(error: Exception) -> bool:
    """Whether this is one of several processes, and fails only since another one did: that has told the user why."""
    alone = os.environ.get("RANK", "0") == "0"
    return not alone and isinstance(error, RuntimeError) and any(mark in str(error) for mark in _LOST)


def _details(error: Exception) -> str:
    """Where the traceback was written, in words."""
    import tempfile
    from traceback import format_exception

    text = "".join(format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", errors="backslashreplace", prefix="comal-", suffix=".txt", delete=False
        ) as file:
            file.write(f"comal {comal.__version__}: {sys.argv}\n{text}")
    except OSError:
        return "details: comal --traceback ..."
    return f"details in {file.name}; please report them"


if __name__ == "__main__":
    main()
