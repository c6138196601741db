"""`comal audit`: is a judge fair, and transitive enough for a score?"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from comal.cli.completion import judges
from comal.cli.in_effect import refuse_given

if TYPE_CHECKING:
    from comal.evaluation.audit.asking import AnswerSets, Asking
    from comal.evaluation.audit.formats.sources import Source
    from comal.evaluation.audit.result import AuditResult
    from comal.evaluation.audit.verdicts import Verdicts


def audit(
    context: typer.Context,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="Outputs of several systems (AlpacaEval's model_outputs.json), ready verdicts (JSONL, PandaLM),"
            " labelled pairs (LLMBar), judgments of MT-Bench, Arena-Hard, JudgeBench, Prometheus or LMArena, a table of"
            " win rates or counts (CSV, JSON, NPY), or the folder of a run.",
        ),
    ],
    judge: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPEC",
            help="Whom to ask: a YAML or JSON file, a recipe, or name=... key=value ... Twice compares two.",
            autocompletion=judges,
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Human verdicts on the same prompts and systems (JSONL).")
    ] = None,
    counts: Annotated[
        int | None, typer.Option(min=1, max=10**15, help="Comparisons behind each cell of a table of win rates.")
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
    tie: Annotated[
        str,
        typer.Option(
            metavar="0.5|none", help="What a tie in a file of another judges' tool is: an even bet, or no verdict."
        ),
    ] = "0.5",
    slight: Annotated[
        float, typer.Option(min=0.5, max=1.0, help="Pr of the better one where a grade is A>B; A>>B is worth 1.")
    ] = 0.75,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep an expensive judge's verdicts here, and use what is kept.",
            show_default="of a run: where it keeps its own; else your shared file, which is named",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the bootstraps.", show_default="0, and a run's own for its answers")
    ] = None,
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
    from comal.pipeline.disk.layout import RunFolder

    if exact and draws > 1:
        raise ConfigError("--exact", "a mean of sampled verdicts (--draws) is not the preference itself")
    from comal.evaluation.audit.asking import Asking

    how = Asking(repeats, draws, True if exact else None)
    run = RunFolder(inputs[0])
    specs = judge or []
    if len(specs) > 1:
        refuse_given(context, ("counts", "wins", "plot", "tie", "slight"), "does nothing where judges are compared")
        _compare(inputs, specs, _people(labels) if labels else None, _Asked(prompts, cache, seed or 0, how), as_json)
        return
    if len(inputs) == 1 and run.is_marked:
        refuse_given(context, ("labels", "counts", "wins", "tie", "slight"), "does nothing to a run")
        result = _of_run(inputs[0], specs[0] if specs else None, prompts, cache, seed, how)
        if not specs:
            typer.echo(f"kept in {run.audit}; `comal report {inputs[0]}` shows it", err=True)
    else:
        from comal.evaluation.audit.formats.sources import Table, read_sources
        from comal.evaluation.audit.formats.tools import Grades

        if tie not in ("0.5", "none"):
            raise ConfigError("--tie", f"need 0.5 or none, got `{tie}`; any other number would favour a place")
        grades = Grades(None if tie == "none" else 0.5, slight)
        source = read_sources([_file(path) for path in inputs], Table(counts, wins, seed or 0, grades))
        _refuse_unused(context, source)
        people = source.people if labels is None else _people(labels)
        if source.answers is not None:
            spec = specs[0] if specs else None
            source = replace(source, verdicts=_asked(source.answers, inputs, spec, prompts, cache, how))
        result = _of_source(source, people, ", ".join(map(str, inputs)), seed or 0, how)
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
    cache: Path | None,
    seed: int | None,
    how: Asking,
) -> AuditResult:
    from comal.cli.display.judging import judging
    from comal.cli.judge_spec import build_judge
    from comal.pipeline.audit_run import PROMPTS, audit_run

    with judging() as progress:
        other = None if judge is None else build_judge(judge)
        return audit_run(folder, other, prompts or PROMPTS, how, cache, seed, progress)


@dataclass(frozen=True, slots=True)
class _Asked:
    """How two judges are asked: what the options of the same names say."""

    prompts: int | None
    cache: Path | None
    seed: int
    how: Asking


def _compare(inputs: list[Path], specs: list[str], people: Any, asked: _Asked, as_json: bool) -> None:
    """Audit two judges on the same answers, and test how they differ."""
    from comal.errors import ConfigError
    from comal.evaluation.audit.audit import audit_verdicts
    from comal.evaluation.audit.formats.sources import read_sources
    from comal.evaluation.audit.versus import compare_judges
    from comal.pipeline.audit_run import PROMPTS, run_answers
    from comal.pipeline.disk.layout import RunFolder

    if len(specs) > 2:
        raise ConfigError("--judge", f"two judges are compared, got {len(specs)}")
    if len(inputs) == 1 and RunFolder(inputs[0]).is_marked:
        answers = run_answers(inputs[0], asked.prompts or PROMPTS)
    else:
        source = read_sources([_file(path) for path in inputs])
        if source.answers is None:
            raise ConfigError("--judge", f"{inputs[0]} holds no answers to be judged, which two judges need")
        answers, people = source.answers, people if people is not None else source.people
    said = [_asked(answers, inputs, spec, asked.prompts, asked.cache, asked.how) for spec in specs]
    results = [
        replace(audit_verdicts(verdicts, people, asked.seed), name=spec)
        for spec, verdicts in zip(specs, said, strict=True)
    ]
    differences = compare_judges(said[0], said[1], people)
    if as_json:
        import json

        plain = {"audits": [r.to_json() for r in results], "differences": [asdict(d) for d in differences]}
        typer.echo(json.dumps(plain, ensure_ascii=False, allow_nan=False))
        return
    from comal.reports.terminal.audit import print_audit, print_differences

    for result in results:
        print_audit(result)
        typer.echo()
    print_differences(specs[0], specs[1], differences)


def _file(path: Path) -> Path:
    """Of a `comal eval`'s folder the file of verdicts."""
    from comal.errors import DataError
    from comal.pipeline.disk.evaluation_folder import EvaluationFolder
    from comal.pipeline.disk.layout import RunFolder

    evaluation = EvaluationFolder(path)
    if not evaluation.is_marked:
        if any((path / file).is_file() for file in ("config.json", "adapter_config.json")):
            run = f"its run, `{path.parent}`, or " if RunFolder(path.parent).is_marked else ""
            raise DataError(
                str(path), f"this is a model, and an audit reads answers; name {run}the folder of a `comal eval` of it"
            )
        return path
    if not evaluation.annotations.is_file():
        raise DataError(str(path), "this evaluation has not come to its end; continue it with `comal eval`")
    return evaluation.annotations


def _refuse_unused(context: typer.Context, source: Source) -> None:
    """Refuse the options that do nothing to what the files hold."""
    if source.tool is None:
        refuse_given(context, ("tie", "slight"), "is for files that another tool of judges wrote")
    elif source.tool != "arena-hard":
        refuse_given(context, ("slight",), f"does nothing to {source.tool}, which has no such grades")
    if source.table is not None:
        unused = ("judge", "labels", "prompts", "repeats", "draws", "exact", "cache")
        refuse_given(context, unused, "does nothing to a table of win rates")
        if source.table.resampled is None:
            refuse_given(context, ["seed"], "does nothing to win rates without --counts, of which nothing is drawn")
        return
    refuse_given(context, ["counts", "wins"], "is for tables of win rates")
    if source.verdicts is not None:
        refuse_given(context, ("judge", "prompts", "cache", "repeats"), "does nothing to ready verdicts")


def _of_source(source: Source, people: Any, name: str, seed: int, how: Asking) -> AuditResult:
    from comal.evaluation.audit.audit import audit_table, audit_verdicts

    if source.table is not None:
        return audit_table(source.table, name)
    verdicts: Any = source.verdicts
    if source.answers is None:
        if people is None:
            verdicts, people = _split_people(verdicts)
        # A tool's grade is one draw of the judge's, whatever number it is worth.
        exact = False if how.exact is None and source.tool is not None else how.exact
        verdicts = replace(verdicts, exact=exact, draws=how.draws)
    return audit_verdicts(verdicts, people, seed)


def _asked(
    answers: AnswerSets, inputs: list[Path], judge: str | None, prompts: int | None, cache: Path | None, how: Asking
) -> Verdicts:
    from comal.cli.display.judging import judging
    from comal.cli.judge_spec import build_judge
    from comal.errors import ConfigError
    from comal.evaluation.audit.asking import ask
    from comal.judges.kept.cache import SPEND_NAME, shared_cache_path

    if judge is None:
        named = ", ".join(map(str, inputs))
        raise ConfigError("--judge", f"{named} holds answers; say whom to ask about them, e.g. --judge judge.yaml")
    asked = build_judge(judge)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        spend = None
        if cache is None:
            # The shared file serves all audits; a budget is one audit's.
            cache, spend = shared_cache_path(), Path(place, SPEND_NAME)
            if asked.expensive:
                typer.echo(f"verdicts are kept in {cache}; another audit of the same judge will use them", err=True)
        with judging() as progress:
            return ask(asked, answers.first(prompts), how, cache, spend, progress)


def _people(path: Path) -> Any:
    from comal.errors import DataError
    from comal.evaluation.audit.formats.sources import read_source

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
