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
            "policies), RUN/method, RUN/start or RUN/method@STEP.",
        ),
    ],
    judge: Annotated[
        str,
        typer.Option(
            metavar="SPEC",
            help="Who judges: a judge's name, a mapping such as '{name: python, function: \"rules:better\"}', a YAML "
            "or JSON file with one, or a run's folder. Best one that no policy was trained on.",
            autocompletion=judges,
        ),
    ],
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

    Interrupted or killed at any moment, the same command continues: answers and verdicts are kept.
    """
    import pydantic

    from comal.cli.judge_spec import load_judge
    from comal.errors import ConfigError
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
    evaluation = Evaluation.prepare(settings, load_judge(judge))
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
        sampling = ("answers", "temperature", "top_p", "max_new_tokens", "batch_size", "system_prompt", "reference")
        refuse_given(context, sampling, "is for models; the answers of these policies are there already")
    if evaluation.settings.reference is None and all(model.run is not None for model in models):
        refuse_given(context, ["system_prompt"], "is for models outside runs; a run's policies have their own")
    if len(models) == len(evaluation.sources):
        refuse_given(context, ("intersection", "allow_empty"), "is for output files; these policies are models")
