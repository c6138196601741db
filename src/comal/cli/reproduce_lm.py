"""`comal reproduce lm`: the experiment on a language model, part by part."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from comal.recipes import DEFAULT_RECIPE

if TYPE_CHECKING:
    from comal.experiments.language_model.plan import Part
    from comal.experiments.language_model.results import PartResult
    from comal.pipeline.processes.pool import Job
    from comal.recipes.settings import Recipe

SEEDS = "0,1,2"
_WIDTH = 150  # of tables that no terminal limits


def lm(
    part: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART", help="A part of the experiment, `all` (default) for every one, `list` for names and costs."
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where runs, figures and the page go; they continue there.",
            show_default="runs/lm",
        ),
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="Recipe whose algorithm is COMAL; everything is derived from it.")
    ] = DEFAULT_RECIPE,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of it, as for `comal run`.")
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="N,N,N", help="Seeds.")] = SEEDS,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="A sixth of the steps on a quarter of the prompts, one seed, in runs/lm-quick."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print every run that is left, its steps and judged pairs; run nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """The language-model experiment: every method, loss and schedule at equal judged pairs, on several seeds.

    Hours with the default recipe; killed at any moment, the same command continues. Tables go to stdout, and with their
    figures and the commands that made them to DIR/results.md.
    """
    import json

    from comal.experiments.language_model.basis import quick_recipe
    from comal.pipeline.disk.layout import RUNS
    from comal.recipes.load import load_recipe

    loaded = load_recipe(recipe, settings or [])
    if quick:
        loaded = quick_recipe(loaded)
    numbers = _seeds("0" if quick and seeds == SEEDS else seeds)
    where = folder or RUNS / ("lm-quick" if quick else "lm")
    wanted = part or ["all"]
    planned = _planned(wanted, loaded)
    if wanted == ["list"] or dry_run:
        _show_plan(planned, numbers, where, dry_run, as_json)
        return
    options = _options(recipe, settings or [], numbers, quick, where)
    results = _carried_out(planned, loaded, numbers, where, options)
    page = _write(planned, results, loaded, numbers, where, options)
    if as_json:
        shown = {name: results[name].to_json() for name in results}
        typer.echo(json.dumps({"folder": str(where), "seeds": numbers, "parts": shown}, ensure_ascii=False))
    else:
        _print(list(results.values()))
    typer.echo(f"page     {page}", err=True)


def _seeds(text: str) -> list[int]:
    from comal.errors import ConfigError

    found = [int(word) for word in text.split(",") if word.strip().isdecimal()]
    if len(found) != len(text.split(",")) or len(set(found)) != len(found):
        raise ConfigError("--seeds", f"need different whole numbers with commas between, such as {SEEDS}, got `{text}`")
    return found


def _planned(wanted: Sequence[str], recipe: Recipe) -> dict[str, Part]:
    """The parts that are wanted; of `all` and `list` those that the recipe allows, saying why others are left out."""
    from comal.errors import ConfigError
    from comal.experiments.language_model.parts import PARTS, plan_part

    if wanted != ["list"] and "all" not in wanted:
        return {name: plan_part(name, recipe) for name in dict.fromkeys(wanted)}
    planned = {}
    for name in PARTS:
        try:
            planned[name] = plan_part(name, recipe)
        except ConfigError as error:
            if name == "methods":  # nothing goes with this recipe
                raise
            typer.echo(f"part {name} is left out: {error}", err=True)
    return planned


def _show_plan(planned: Mapping[str, Part], seeds: list[int], folder: Path, runs: bool, as_json: bool) -> None:
    import json

    from rich.console import Console
    from rich.table import Table

    from comal.experiments.language_model.results import Cost, cost_of

    counted: set[str] = set()
    costs = {name: cost_of(part, seeds, folder, counted) for name, part in planned.items()}
    total = sum(costs.values(), Cost(0, 0, 0.0))
    if as_json:
        plain = {name: _plain(part, seeds) | _plain_cost(costs[name]) for name, part in planned.items()}
        typer.echo(json.dumps({"seeds": seeds, "parts": plain, "total": _plain_cost(total)}, ensure_ascii=False))
        return
    out = Console(highlight=False, soft_wrap=True, width=_WIDTH)
    table = Table(box=None, pad_edge=False)
    for heading in ("part", "left to train", "judged pairs", "CPU hours", "what"):
        table.add_column(heading, justify="left" if heading in ("part", "what") else "right", no_wrap=heading != "what")
    for name, cost in costs.items():
        table.add_row(name, str(cost.methods), f"{cost.pairs:,}", f"{cost.seconds / 3600:.1f}", planned[name].about)
    table.add_row("all", str(total.methods), f"{total.pairs:,}", f"{total.seconds / 3600:.1f}", "")
    out.print(table)
    out.print(
        f"for seeds {', '.join(map(str, seeds))}; a method that several parts show is counted where it comes first;"
    )
    out.print("CPU hours of one core, roughly, for the model of the recipe `docstrings`, without evaluations")
    if not runs:
        return
    for part in planned.values():
        out.print(f"\n{part.name}", style="bold")
        for run in part.runs:
            for key in run.methods:
                taken = run.costs[key]
                out.print(f"  {part.titles.get(key, key)}: {taken.steps} steps, {taken.pairs:,} judged pairs, "
                          f"{taken.answers:,} answers, in {run.name}-seed*", markup=False)  # fmt: skip
        for title, reason in part.left_out.items():
            out.print(f"  not run: {title}. {reason}", markup=False)


def _plain(part: Part, seeds: list[int]) -> dict[str, Any]:
    from dataclasses import asdict

    runs = [
        {"folders": [run.folder(seed) for seed in seeds], "methods": {k: asdict(w) for k, w in run.costs.items()}}
        for run in part.runs
    ]
    return {"runs": runs, "judges": dict(part.judges), "left_out": dict(part.left_out)}


def _plain_cost(cost: Any) -> dict[str, Any]:
    return {"methods_left": cost.methods, "pairs_left": cost.pairs, "cpu_hours_left": round(cost.seconds / 3600, 2)}


def _options(recipe: str, settings: list[str], seeds: list[int], quick: bool, folder: Path) -> list[str]:
    from comal.pipeline.disk.layout import RUNS

    given: list[str] = []
    if recipe != DEFAULT_RECIPE:
        given += ["--recipe", recipe]
    for setting in settings:
        given += ["--set", setting]
    if quick:
        given.append("--quick")
    if seeds != _seeds("0" if quick else SEEDS):
        given += ["--seeds", ",".join(map(str, seeds))]
    if folder != RUNS / ("lm-quick" if quick else "lm"):
        given += ["--folder", str(folder)]
    return given


def _command(part: str, options: Sequence[str]) -> str:
    return shlex.join(["comal", "reproduce", "lm", "--part", part, *options])


def _carried_out(
    planned: Mapping[str, Part], recipe: Recipe, seeds: list[int], folder: Path, options: list[str]
) -> dict[str, PartResult]:
    """Train and measure; a seed after the other, so that there is something to read soon."""
    from comal.cli.display.run import RunDisplay
    from comal.experiments.language_model.results import PartResult, exploited, table_of
    from comal.experiments.language_model.runs import carry_out, certify, claimed
    from comal.experiments.language_model.scores import scores
    from comal.pipeline.processes.distributed import prepare_process
    from comal.reports.terminal.certificate import look_heading, look_row

    def watch(job: Job, names: list[str], steps: int) -> AbstractContextManager[object]:
        if job == "exploiter":
            return RunDisplay(folder, names, steps, look_heading, look_row)
        return RunDisplay(folder, names, steps)

    prepare_process(recipe.threads)
    results = {}
    with claimed(folder):
        for name, part in planned.items():
            command = _command(name, options)
            measured: dict[str, list[Any]] = {judge: [] for judge in part.judges}
            certificates = []
            for seed in seeds:
                typer.echo(f"part {name}, seed {seed}", err=True)
                carry_out(folder, part, seed, command, watch)
                for judge, found in measured.items():
                    found.append(scores(folder, part, judge, seed, lambda said: typer.echo(said, err=True)))
                if part.exploiters:
                    certificates.append(certify(folder, part, seed, lambda *_: nullcontext()))
            tables = tuple(table_of(part, judge, found) for judge, found in measured.items())
            results[name] = PartResult(
                part, tuple(seeds), tables, exploited(part, certificates) if certificates else ()
            )
    return results


def _write(
    planned: Mapping[str, Part],
    results: Mapping[str, PartResult],
    recipe: Recipe,
    seeds: list[int],
    folder: Path,
    options: list[str],
) -> Path:
    """The page of these parts and of those that are finished already."""
    from comal.errors import ConfigError
    from comal.experiments.language_model.page import write_page
    from comal.experiments.language_model.parts import PARTS, plan_part
    from comal.experiments.language_model.results import finished
    from comal.pipeline.disk.experiment_folder import ExperimentFolder

    whole: dict[str, PartResult] = {}
    for name in PARTS:
        if name in results:
            whole[name] = results[name]
            continue
        try:
            part = planned.get(name) or plan_part(name, recipe)
        except ConfigError:
            continue
        earlier = finished(folder, part, seeds)
        if earlier is not None:
            whole[name] = earlier
    ExperimentFolder(folder).write_results({name: result.to_json() for name, result in whole.items()})
    commands = {name: _command(name, options) for name in whole}
    return write_page(folder, list(whole.values()), commands, _in_words(recipe))


def _in_words(recipe: Recipe) -> str:
    """What all parts have in common."""
    from comal.experiments.language_model.basis import Basis

    shared = Basis.of(recipe)
    return (
        f"Everything is derived from the recipe `{recipe.name}`: {recipe.steps} proximal steps of "
        f"{recipe.sampling.prompts} prompts × {recipe.sampling.samples} answers, η = {shared.eta:g}, "
        f"τ = {shared.tau:g}, reference every {shared.inner_steps} steps. A method may have {shared.pairs:,} pairs of "
        "answers judged in training; one whose step takes more of them takes fewer steps."
    )


def _print(results: Sequence[PartResult]) -> None:
    from rich.console import Console

    from comal.experiments.language_model.page import READING, exploited_rows, rows, terminal

    out = Console(highlight=False, soft_wrap=True, width=_WIDTH)
    for result in results:
        for table in result.tables:
            headings, cells = rows(table)
            out.print(terminal(headings, cells, f"{result.part.title}, judged by {table.judge}"))
            out.print()
        if result.exploited:
            headings, cells = exploited_rows(result.exploited)
            out.print(terminal(headings, cells, "exploiters trained for the purpose, on fresh prompts"))
            out.print()
        for title, reason in result.part.left_out.items():
            out.print(f"not run: {title}. {reason}", markup=False)
    out.print(READING, markup=False)
