"""`comal` as a person types it, in this process, and what a refusal must look like."""

from __future__ import annotations

from click.testing import Result
from typer.testing import CliRunner

from comal.cli import app


def comal(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def refused(outcome: Result, *parts: str) -> None:
    """Exit code 2, nothing on stdout, and one line of error with all `parts`."""
    assert outcome.exit_code == 2, outcome.output
    assert outcome.stdout == ""
    errors = [line for line in outcome.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, outcome.stderr
    for part in parts:
        assert part in errors[0]
    assert "Traceback" not in outcome.stderr
