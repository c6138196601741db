"""`comal certify`: how exploitable a policy is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from comal.cli.completion import recipes

if TYPE_CHECKING:
    from comal.pipeline.certify.certification import Certification


def certify(
    policy: Annotated[Path, typer.Argument(metavar="RUN|MODEL", help="Folder of a finished run, or of a model.")],
    recipe: Annotated[
        str | None,
        typer.Option(
            help="For a model: the recipe whose judge, prompts and starting model are taken.", autocompletion=recipes
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Of a run: certify this policy only.", show_default="every method's last"),
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(metavar="MODEL", help="A model folder that joins the pool of adversaries."),
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of the certificates.", show_default="RUN/certify, runs/certify-RECIPE"
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a setting, e.g. steps=80 or evaluation.test_prompts=500."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the certificates as one JSON object.")] = False,
) -> None:
    """Certify how exploitable policies are: trained exploiters, other policies, one class only and best-of-N.

    Every win rate is measured on fresh prompts with its 95% interval; the verdict says what was found, and how many
    prompts it takes to see less. Killed at any moment, the same command continues and ends with the same certificate.
    """
    from comal.cli.display.run import RunDisplay
    from comal.pipeline.processes.distributed import prepare_process
    from comal.reports.terminal.certificate import look_heading, look_row, print_certificates

    work = _prepare(policy, recipe, method or [], against or [], output_dir, settings or [])
    prepare_process(work.plan.settings.threads)
    from contextlib import nullcontext

    from comal.pipeline.processes.distributed import state

    steps = work.plan.settings.steps
    shown = state().is_main_process
    if shown:
        typer.echo(f"certificates: {work.folder}", err=True)
    with work:
        display = RunDisplay(work.folder, work.exploiters, steps, look_heading, look_row) if shown else nullcontext()
        with display:
            certificates = work.execute()
    if not shown:
        return
    if as_json:
        import json

        typer.echo(json.dumps({"certificates": [c.to_json() for c in certificates]}, ensure_ascii=False))
        return
    print_certificates(certificates)
    for certificate in certificates:
        typer.echo(f"\nfigures  {work.artifacts.policy(certificate.policy).certificate_path}", err=True, nl=False)
    typer.echo(err=True)


def _prepare(
    policy: Path,
    recipe: str | None,
    methods: list[str],
    against: list[Path],
    output_dir: Path | None,
    settings: list[str],
) -> Certification:
    """What the command line asks for."""
    from comal.errors import ConfigError, RunError
    from comal.models.gguf import is_gguf
    from comal.pipeline.certify.certification import Certification
    from comal.pipeline.certify.plan import (
        Plan,
        chosen_policies,
        joined_pool,
        model_name,
        policies_of_run,
        recipe_of_run,
        require_kind,
    )
    from comal.pipeline.certify.settings import CertifySettings, defaults
    from comal.pipeline.disk.layout import RUNS, RunFolder
    from comal.pipeline.run.dequantised import model_folder
    from comal.pipeline.run.resolved import resolve
    from comal.recipes.load import changed, load_recipe

    if recipe is None:
        if not RunFolder(policy).is_marked and (policy / "tokenizer_config.json").is_file():
            whose = f", or its run, `{policy.parent}`, instead" if RunFolder(policy.parent).is_marked else ""
            raise ConfigError("--recipe", f"`{policy}` is a model: name the recipe with its judge and prompts{whose}")
        resolved = resolve(recipe_of_run(policy))
        told = changed(CertifySettings, defaults(resolved), settings)
        pool = policies_of_run(policy, resolved.recipe, told.evaluation.pool_size)
        chosen = chosen_policies(pool, list(resolved.methods), methods)
        folder = output_dir or RunFolder(policy).certification
        pool = joined_pool(pool, chosen, against)
        return Certification(folder, Plan(policy, resolved.recipe, told, tuple(against)), chosen, pool)
    if RunFolder(policy).is_marked:
        raise ConfigError("--recipe", f"`{policy}` is a run and has its own recipe; leave this out")
    if methods:
        raise ConfigError("--method", "a model folder holds one policy; leave this out")
    plan_recipe = load_recipe(recipe)
    if is_gguf(str(policy)):
        policy = model_folder(str(policy), plan_recipe.policy)
    if not policy.is_dir():
        raise RunError(str(policy), "there is no such folder; give a run's or a model's")
    require_kind(policy, plan_recipe)
    resolved = resolve(plan_recipe)
    told = changed(CertifySettings, defaults(resolved), settings)
    if told.evaluation.pool_size != plan_recipe.evaluation.pool_size:
        raise ConfigError("evaluation.pool_size", "a model has no earlier policies to choose from; leave this out")
    chosen = {model_name(policy): policy}
    folder = output_dir or RUNS / f"certify-{plan_recipe.name}"
    pool = joined_pool({}, chosen, against)
    return Certification(folder, Plan(folder, plan_recipe, told, tuple(against)), chosen, pool)
