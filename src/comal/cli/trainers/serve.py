"""`comal serve`: win rates of groups of answers over HTTP, for trainers that are not ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from comal.cli.completion import judges


def serve(
    judge: Annotated[
        str,
        typer.Option(
            metavar="SPEC",
            help="Whom to ask: a YAML or JSON file, a recipe, or name=... key=value ...",
            autocompletion=judges,
        ),
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, help="To listen at; 0 takes a free one.")] = 8765,
    host: Annotated[
        str,
        typer.Option(help="Address to listen at; one that others can reach needs a token in COMAL_SERVE_TOKEN."),
    ] = "127.0.0.1",
    comparisons: Annotated[
        str, typer.Option(metavar="all|K", help="Judge all pairs of a group, or so many for each answer.")
    ] = "all",
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep an expensive judge's verdicts here, and beside it what is spent of a budget.",
            show_default="your shared file",
        ),
    ] = None,
    groups: Annotated[int, typer.Option(min=1, max=4096, help="Requests judged at a time.")] = 64,
    waiting: Annotated[int, typer.Option(min=0, max=10**6, help="Requests that may wait; one more gets a 429.")] = 256,
    max_answers: Annotated[int, typer.Option(min=2, max=10**4, help="Answers of a group at most.")] = 64,
    max_body: Annotated[int, typer.Option(min=1, max=1 << 30, help="Bytes of a request at most.")] = 8 << 20,
) -> None:
    """Serve win rates of groups of answers: POST /v1/group and /v1/compare, GET /health and /metrics.

    All requests share one cache, one budget and the judge's connections. Ends on Ctrl-C or SIGTERM, when the verdicts
    that are being paid for are kept.
    """
    from comal.cli.judge_spec import build_judge
    from comal.errors import ConfigError
    from comal.rewards.group import GroupWinRate, read_comparisons

    try:
        from comal.rewards.server.requests import Limits
        from comal.rewards.server.serve import serve as run
    except ModuleNotFoundError as error:
        raise ConfigError("serve", f"needs {error.name}; pip install 'comal[serve]'") from error
    reward = GroupWinRate(build_judge(judge), read_comparisons(comparisons, "--comparisons"), cache or "shared")
    run(reward, host, port, Limits(groups, waiting, max_answers, max_body), lambda url: typer.echo(url, err=True))
