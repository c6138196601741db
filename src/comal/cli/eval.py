"""`comal eval`: which of several policies is best, and how sure that is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from comal.cli.completion import judges
from comal.cli.in_effect import refuse_given

if TYPE_CHECKING:
    from comal.pipeline.crossplay.evaluation import Evaluation


def eval_(
    context: typer.Context,
    policies: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]POLICY...",
            help="Two or more: an AlpacaEval model_outputs.json, a model folder or hub id, a run's folder (all of its "
            "policies), RUN/method, RUN/start or RUN/method@STEP. Without --judge: files of ready verdicts.",
        ),
    ],
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Who judges: a judge's name, a mapping such as '{name: python, function: \"rules:better\"}', a YAML "
            "or JSON file with one, or a run's folder. Best one that no policy was trained on.",
            show_default="nobody: the files hold verdicts",
            autocompletion=judges,
        ),
    ] = None,
    prompts: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Held-out prompts: a JSONL, JSON, CSV or Parquet file, a hub data set, or task:docstrings.",
            show_default="those of the output files, else a run's test prompts",
        ),
    ] = None,
    prompt_column: Annotated[str, typer.Option(metavar="NAME", help="Column of the prompts.")] = "prompt",
    split: Annotated[str, typer.Option(help="Split of a hub data set, or of task:docstrings.")] = "test",
    limit: Annotated[int | None, typer.Option(help="Take so many prompts, drawn at random.")] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="NAME", help="Policy that figures are against.", show_default="the first")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Model that KL is measured to.", show_default="a run's starting policy"),
    ] = None,
    answers: Annotated[int, typer.Option(help="Answers of a model to each prompt.")] = 1,
    temperature: Annotated[
        float | None, typer.Option(help="Of the sampling.", show_default="1, and a run's own for its policies")
    ] = None,
    top_p: Annotated[float | None, typer.Option(help="Of the sampling.", show_default="as for temperature")] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Length limit of answers.", show_default="256, and a run's own")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Answers generated at once.", show_default="64, and a run's own")
    ] = None,
    system_prompt: Annotated[str | None, typer.Option(help="Put before every prompt, for models outside runs.")] = None,
    intersection: Annotated[
        bool, typer.Option("--intersection", help="Leave out prompts that some output file does not answer.")
    ] = False,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Judge empty outputs as they are, instead of refusing the file.")
    ] = False,
    length_control: Annotated[
        bool, typer.Option(help="Fit AlpacaEval's length-controlled win rates against the baseline.")
    ] = True,
    max_failures: Annotated[
        float, typer.Option(metavar="SHARE", help="Questions of two policies that may stay without a verdict.")
    ] = 0.05,
    tie: Annotated[
        str,
        typer.Option(metavar="0.5|none", help="Of ready verdicts, what a tie is: an even bet, or no verdict."),
    ] = "0.5",
    slight: Annotated[
        float,
        typer.Option(
            min=0.5, max=1.0, help="Of ready verdicts, Pr of the better one where a grade is A>B; A>>B is worth 1."
        ),
    ] = 0.75,
    draws: Annotated[int, typer.Option(help="Resamples of the prompts behind the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of sampling, of --limit and of the resamples.")] = 0,
    answers_shown: Annotated[
        str | None,
        typer.Option(
            metavar="K,...",
            help="For a judge that is a population: numbers of answers at once that its users take the best of.",
            show_default="1,2,4,8, as far as there are answers",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="For a judge that is a population: names an answer's class; one class only is an adversary, too.",
        ),
    ] = None,
    output_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the evaluation.", show_default="evaluations/DIGEST")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print result.json on stdout instead of tables.")] = False,
) -> None:
    """Let policies play each other: win rates, the Nash mixture and its gap, Elo, length control, KL, with intervals.

    Interrupted or killed at any moment, the same command continues: answers and verdicts are kept. Without --judge
    the files are what other people's judges said (see `comal audit`), nobody is asked, and nothing is written unless
    there is an --output-dir.
    """
    import pydantic

    if judge is None:
        _ready(context, policies, baseline, (tie, slight), (draws, seed), output_dir, as_json=as_json)
        return
    refuse_given(context, ("tie", "slight"), "is for ready verdicts, and --judge asks for new ones")

    from comal.cli.judge_spec import load_judge
    from comal.errors import ConfigError, DataError
    from comal.pipeline.crossplay.evaluation import Evaluation
    from comal.pipeline.crossplay.settings import EvalSettings, SamplingOptions
    from comal.pipeline.data.prompts import SUFFIXES
    from comal.pipeline.disk.evaluation_folder import EVALUATIONS, EvaluationFolder
    from comal.pipeline.processes.distributed import prepare_process, state
    from comal.recipes.settings import DataSource

    if prompts is None:
        refuse_given(context, ("prompt_column", "split"), "says how to read --prompts, which is not given")
    elif prompts.endswith(SUFFIXES):
        refuse_given(context, ["split"], "does nothing to a file of prompts")
    prepare_process(None)
    try:
        settings = EvalSettings(
            policies=tuple(policies),
            prompts=None if prompts is None else DataSource(source=prompts, prompt=prompt_column, split=split),
            limit=limit,
            baseline=baseline,
            reference=reference,
            sampling=SamplingOptions(
                answers=answers,
                temperature=temperature,
                top_p=top_p,
                max_new_tokens=max_new_tokens,
                batch_size=batch_size,
                system_prompt=system_prompt,
            ),
            intersection=intersection,
            allow_empty=allow_empty,
            length_control=length_control,
            max_failures=max_failures,
            draws=draws,
            seed=seed,
            answers_shown=_numbers(answers_shown),
            classes=classes,
        )
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][-1]).replace("_", "-")
        raise ConfigError(option, f"{first['msg'][0].lower()}{first['msg'][1:]}, got {first['input']!r}") from error
    asked = load_judge(judge)
    try:
        evaluation = Evaluation.prepare(settings, asked)
    except DataError as error:
        _refuse_verdicts(policies, error)
        raise
    _refuse_unused(context, evaluation)
    folder = output_dir or EVALUATIONS / evaluation.digest
    from comal.cli.display.evaluation import EvalDisplay

    shown = state().is_main_process
    if shown:
        typer.echo(f"evaluation folder: {folder}", err=True)
    with EvalDisplay(show=shown) as display:
        result = evaluation.run(folder, display)
    if result is None:
        return
    for line in display.asked():
        typer.echo(line, err=True)
    left = EvaluationFolder(folder)
    if as_json:
        typer.echo(left.result_path.read_text(encoding="utf-8"), nl=False)
    else:
        from comal.reports.terminal.evaluation import print_evaluation

        print_evaluation(result)
    for note in evaluation.notes:
        typer.echo(f"warning: {note}", err=True)
    for what, path in (("figures", left.result_path), ("leaderboard", left.leaderboard), ("win rates", left.matrix)):
        typer.echo(f"{what:<12} {path}", err=True)


def _refuse_verdicts(policies: list[str], error: Exception) -> None:
    """Say it where a file cannot be judged because it holds verdicts already."""
    from comal.errors import ComalError, ConfigError
    from comal.pipeline.crossplay.ready import holds_verdicts

    for name in policies:
        try:
            found = Path(name).is_file() and holds_verdicts(Path(name))
        except ComalError:
            continue
        if found:
            raise ConfigError("--judge", f"{name} holds verdicts already; leave it out to evaluate them") from error


_OF_MODELS = ("answers", "temperature", "top_p", "max_new_tokens", "batch_size", "system_prompt", "reference")
_OF_ASKING = ("prompts", "prompt_column", "split", "limit", "intersection", "allow_empty", "max_failures")


def _ready(
    context: typer.Context,
    files: list[str],
    baseline: str | None,
    grades: tuple[str, float],
    resampling: tuple[int, int],
    output_dir: Path | None,
    *,
    as_json: bool,
) -> None:
    """Evaluate verdicts that are there already."""
    from comal.errors import ConfigError
    from comal.evaluation.audit.formats.tools import Grades
    from comal.evaluation.intervals import Bootstrap
    from comal.pipeline.crossplay.ready import ReadyVerdicts, write_ready

    missing = next((name for name in files if not Path(name).is_file()), None)
    if missing is not None:
        raise ConfigError(
            "--judge", f"say who judges; without it only files of ready verdicts are taken, and `{missing}` is no file"
        )
    unused = (*_OF_MODELS, *_OF_ASKING, "length_control")
    refuse_given(context, unused, "does nothing to ready verdicts")
    tie, slight = grades
    if tie not in ("0.5", "none"):
        raise ConfigError("--tie", f"need 0.5 or none, got `{tie}`; any other number would favour a place")
    try:
        bootstrap = Bootstrap(resampling[0], seed=resampling[1])
    except ValueError as error:
        raise ConfigError("--draws", str(error).partition(": ")[2]) from error
    verdicts = ReadyVerdicts.read([Path(name) for name in files], Grades(None if tie == "none" else 0.5, slight))
    if verdicts.tools == {None}:
        refuse_given(context, ("tie", "slight"), "is for files that another tool of judges wrote")
    elif "arena-hard" not in verdicts.tools:
        refuse_given(context, ("slight",), f"does nothing to {files[0]}, which has no such grades")
    result, matrix = verdicts.evaluate(baseline, bootstrap)
    left = None if output_dir is None else write_ready(output_dir, result, matrix)
    if as_json:
        import json

        typer.echo(json.dumps(result.to_json(), ensure_ascii=False, allow_nan=False))
    else:
        from comal.reports.terminal.evaluation import print_evaluation

        print_evaluation(result)
    if left is not None:
        for what, path in (("figures", left.result_path), ("win rates", left.matrix)):
            typer.echo(f"{what:<12} {path}", err=True)


def _numbers(text: str | None) -> tuple[int, ...]:
    """The numbers in `1,2,4`; none without one.

    Raises:
        ConfigError: something else.
    """
    from comal.errors import ConfigError

    parts = [] if text is None else [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise ConfigError("--answers-shown", f"need numbers from 1, as in 1,2,4, got {text!r}")
    return tuple(dict.fromkeys(map(int, parts)))


def _refuse_unused(context: typer.Context, evaluation: Evaluation) -> None:
    """Refuse the options that none of the policies is touched by."""
    from comal.pipeline.crossplay.sources import Model

    models = [source for source in evaluation.sources if isinstance(source, Model)]
    if not models:
        refuse_given(context, _OF_MODELS, "is for models; the answers of these policies are there already")
    if evaluation.settings.reference is None and all(model.run is not None for model in models):
        refuse_given(context, ["system_prompt"], "is for models outside runs; a run's policies have their own")
    if len(models) == len(evaluation.sources):
        refuse_given(context, ("intersection", "allow_empty"), "is for output files; these policies are models")
