"""`comal audit`: is a judge fair, and transitive enough for a score?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from comal.evaluation.audit.formats import Source
    from comal.evaluation.audit.result import AuditResult


def audit(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="Outputs of several systems (AlpacaEval's model_outputs.json), ready verdicts (JSONL, PandaLM),"
            " labelled pairs (LLMBar), a table of win rates or counts (CSV, JSON, NPY), or the folder of a run.",
        ),
    ],
    judge: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Whom to ask: a YAML or JSON file, a recipe, or name=... key=value ..."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Human verdicts on the same prompts and systems (JSONL).")
    ] = None,
    counts: Annotated[
        int | None, typer.Option(min=1, help="Comparisons behind each cell of a table of win rates.")
    ] = None,
    wins: Annotated[bool, typer.Option("--wins", help="A table holds counts of wins: row against column.")] = False,
    prompts: Annotated[int | None, typer.Option(min=1, help="Ask about so many prompts at most.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Put each question so often.")] = 1,
    draws: Annotated[
        int, typer.Option(min=1, help="Sampled verdicts that each probability is the mean of, if it is one.")
    ] = 1,
    exact: Annotated[
        bool, typer.Option("--exact", help="Verdicts of 0 and 1 are the preference itself, not draws from it.")
    ] = False,
    cache: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep an expensive judge's verdicts here, and use what is kept.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstraps.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw win rates in order of score, and the cyclic part.")
    ] = None,
) -> None:
    """Audit a judge, or people: failures, position and length bias, agreement, and whether preferences are cyclic.

    Ends with advice: transitive, cyclic, or how much data it would take to tell. Its p-values are those of a transitive
    preference: at most how often one would look at least as cyclic by chance. A large p alone proves nothing.
    """
    from comal.errors import ConfigError

    if exact and draws > 1:
        raise ConfigError("--exact", "a mean of sampled verdicts (--draws) is not the preference itself")
    options = {"repeats": repeats, "draws": draws, "exact": True if exact else None}
    if len(inputs) == 1 and (inputs[0] / "run.json").is_file():
        _refuse(wins=wins or None, why="does nothing to a run")
        result = _of_run(inputs[0], judge, prompts, labels, counts, options)
        if judge is None:
            typer.echo(f"kept in {inputs[0] / 'audit.json'}; `comal report {inputs[0]}` shows it", err=True)
    else:
        result = _of_files(inputs, judge, labels, (counts, wins), prompts, cache, seed, options)
    if plot is not None:
        from comal.reports.figures.audit import audit_figure
        from comal.reports.figures.games import save

        save(audit_figure(result), plot)
    if as_json:
        import json

        typer.echo(json.dumps(result.to_json(), ensure_ascii=False, allow_nan=False))
        return
    from comal.reports.terminal.audit import print_audit

    print_audit(result)


def _of_run(
    folder: Path,
    judge: str | None,
    prompts: int | None,
    labels: Path | None,
    counts: int | None,
    options: dict[str, Any],
) -> AuditResult:
    from comal.cli.display.judging import judging
    from comal.cli.judge_spec import build_judge
    from comal.pipeline.audit_run import PROMPTS, audit_run

    _refuse(labels=labels, counts=counts, why="does nothing to a run")
    with judging() as progress:
        other = None if judge is None else build_judge(judge)
        return audit_run(folder, other, prompts or PROMPTS, progress=progress, **options)


def _of_files(
    inputs: list[Path],
    judge: str | None,
    labels: Path | None,
    table: tuple[int | None, bool],
    prompts: int | None,
    cache: Path | None,
    seed: int,
    options: dict[str, Any],
) -> AuditResult:
    from dataclasses import replace

    from comal.evaluation.audit.audit import audit_table, audit_verdicts
    from comal.evaluation.audit.formats import read_sources

    counts, wins = table
    source = read_sources(inputs, counts, wins)
    if source.table is not None:
        _refuse(judge=judge, labels=labels, why="does nothing to a table of win rates")
        return audit_table(source.table, ", ".join(map(str, inputs)))
    _refuse(counts=counts, why="is for tables of win rates")
    _refuse(wins=wins or None, why="is for tables")
    people = source.people if labels is None else _people(labels)
    verdicts = source.verdicts
    if verdicts is not None:
        _refuse(judge=judge, prompts=prompts, cache=cache, why="does nothing to ready verdicts")
        if options["repeats"] > 1:
            _refuse(repeats=options["repeats"], why="does nothing to ready verdicts")
        if people is None:
            verdicts, people = _split_people(verdicts)
        verdicts = replace(verdicts, exact=options["exact"], draws=options["draws"])
    else:
        verdicts, people = _asked(source, judge, people, prompts, cache, options, inputs)
    return audit_verdicts(verdicts, people, seed)


def _asked(
    source: Source,
    judge: str | None,
    people: Any,
    prompts: int | None,
    cache: Path | None,
    options: dict[str, Any],
    inputs: list[Path],
) -> Any:
    from comal.cli.display.judging import judging
    from comal.cli.judge_spec import build_judge
    from comal.errors import ConfigError
    from comal.evaluation.audit.asking import ask

    answers = source.answers
    assert answers is not None
    if judge is None:
        named = ", ".join(map(str, inputs))
        raise ConfigError("--judge", f"{named} holds answers; say whom to ask about them, e.g. --judge judge.yaml")
    with judging() as progress:
        verdicts = ask(build_judge(judge), answers.first(prompts), cache, progress=progress, **options)
    return verdicts, people


def _people(path: Path) -> Any:
    from comal.errors import DataError
    from comal.evaluation.audit.formats import read_source

    source = read_source(path)
    found = source.verdicts or source.people
    if found is None:
        raise DataError(str(path), "holds no verdicts; labels are a file of verdicts, e.g. JSONL")
    return found


def _split_people(verdicts: Any) -> tuple[Any, Any]:
    """The verdicts without the rater `label`, and that one's, which are people's."""
    from comal.evaluation.audit.verdicts import without_rater

    if "label" not in verdicts.raters or len(verdicts.raters) == 1:
        return verdicts, None
    number = verdicts.raters.index("label")
    return without_rater(verdicts, number), verdicts.of_rater(number)


def _refuse(why: str, **options: object) -> None:
    from comal.errors import ConfigError

    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"--{name}", f"{why}; leave it out")
