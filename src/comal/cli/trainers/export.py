"""`comal export`: a run's prompts, answers and verdicts, or kept verdicts, in other people's formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from comal.cli.in_effect import refuse_given

FORMATS = ("trl-dpo", "trl-grpo", "openrlhf", "llamafactory", "alpaca-eval", "arena-hard", "parquet")


def export(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(metavar="RUN|FILE", help="Folder of a run, or a file of kept verdicts.")],
    to: Annotated[str, typer.Option(metavar="FORMAT", help=f"One of {', '.join(FORMATS)}.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder to write to.", show_default="RUN-FORMAT"),
    ] = None,
    written: Annotated[
        str,
        typer.Option(
            "--as", metavar="messages|text", help="Prompts and answers as chat messages, or as texts without roles."
        ),
    ] = "messages",
    method: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this method's training pairs; may come again.")
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of a file, whose verdicts: a judge's name, or first digits of its fingerprint (`comal cache stats`).",
            show_default="the only one's",
        ),
    ] = None,
    min_margin: Annotated[
        float,
        typer.Option(metavar="M", min=0.0, max=1.0, help="Leave out pairs whose |2·Pr − 1| is less; toss-ups always."),
    ] = 0.0,
) -> None:
    """Export judged pairs (trl-dpo, openrlhf, llamafactory, parquet), training prompts (trl-grpo) or answers.

    Pairs come once each, without the diagonal, mirrored halves, equal answers and what was not asked. A data card
    beside them has the judge, its fingerprint and the settings. Of a file of kept verdicts, which rewards and servers
    leave too, pairs only.
    """
    from comal.errors import ConfigError, near_match
    from comal.pipeline.export.export import export_kept, export_run
    from comal.pipeline.export.formats import OUTPUTS, PAIRS

    if to not in FORMATS:
        raise ConfigError("--to", f"`{to}` is no format.{near_match(to, FORMATS)}")
    if written not in ("messages", "text"):
        raise ConfigError("--as", f"need messages or text, got `{written}`")
    if to not in PAIRS:
        refuse_given(context, ("method", "min_margin"), f"does nothing to {to}, which holds no pairs")
    if to in (*OUTPUTS, "parquet"):
        refuse_given(context, ("written",), f"does nothing to {to}, which has one way to write them")
    if to == "parquet":
        refuse_given(context, ("min_margin",), "does nothing to parquet, which holds every judged pair")
    folder = output or run.with_name(f"{run.name or 'run'}-{to}")
    if run.is_file():
        refuse_given(context, ("method",), "is for runs; a file of verdicts does not know of methods")
        done = export_kept(run, judge, to, folder, written, min_margin)  # type: ignore[arg-type]  # checked above
    else:
        refuse_given(context, ("judge",), "is for files of kept verdicts; a run has one judge")
        done = export_run(run, to, folder, written, method or (), min_margin)  # type: ignore[arg-type]
    left = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(done.left_out.items()))
    typer.echo(f"{done.rows:,} rows" + (f"; left out: {left}" if left else ""), err=True)
    typer.echo(str(done.folder))
