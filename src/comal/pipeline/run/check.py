"""Everything that can be wrong with a recipe, and what of it may differ when its run is continued."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from comal.errors import ComalError, ConfigError, RunError
from comal.judges.base import Judge
from comal.judges.kept.file import check_cache
from comal.judges.population import Population
from comal.models.quantization import check_quantization
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.disk.provenance import Provenance
from comal.pipeline.run.dequantised import check_model
from comal.pipeline.run.resolved import ResolvedRecipe
from comal.pipeline.run.resources import numbers_shown
from comal.pipeline.step.fits import (
    refuse_partly_judged,
    refuse_undrawable,
    refuse_unfit,
    refuse_unplayable,
    refuse_unsampleable,
)
from comal.pipeline.training.arguments import check_arguments
from comal.plugins import describe
from comal.policies.engines.base import Engine
from comal.policies.loading import require_folder
from comal.records import read
from comal.resolve import resolve_engine, resolve_judge

_LOGGING = (
    "report_to", "run_name", "project", "trackio_space_id", "disable_tqdm", "log_level", "log_level_replica",
    "log_on_each_node", "logging_dir", "logging_strategy", "logging_first_step", "logging_steps",
    "include_tokens_per_second", "skip_memory_metrics",
)  # fmt: skip
"""Fields of `transformers.TrainingArguments` that say where and how often training is reported, here and elsewhere."""

HARMLESS = frozenset({"processes", "verdict_cache", "sampling.max_failure_rate", "evaluation.max_failure_rate"}) | {
    f"{part}.arguments.{key}" for part in ("training", "supervised") for key in _LOGGING
}
"""Settings that may differ when a run is continued: they change how fast or how far it goes, or who hears of it, and no
figure but the last digits of a mean training loss (threads round the policy itself). A judge's own are
`Judge.harmless`."""

_ADDED = {
    "policy.long_prompts": "cut", "policy.temperature": 1.0, "sampling.engine.name": "transformers", "answers_shown": 1,
    "evaluation.answers_shown": [],
}  # fmt: skip
"""Settings that older runs do not name, with what they meant."""


def check(resolved: ResolvedRecipe) -> None:
    """Everything that can be wrong with a recipe and be seen without loading weights.

    Raises:
        ComalError: the first mistake found.
    """
    recipe, loss = resolved.recipe, resolved.loss
    places = {name: f"baselines.{name}" for name in resolved.methods} | {next(iter(resolved.methods)): "algorithm"}
    programs = {name: refuse_unsampleable(rule, places[name]) for name, rule in resolved.methods.items()}
    if recipe.policy.model is not None:
        require_folder(recipe.policy.model)
    check_model(recipe.policy)
    if recipe.policy.quantization_config is not None:
        check_quantization(recipe.policy.quantization_config, "policy.quantization_config")
    check_arguments(recipe.training, "training")
    if recipe.supervised is not None:
        check_arguments(recipe.supervised, "supervised")
    resolved.judge.check()
    if loss.pairs and recipe.training.pairing is None:
        raise ConfigError(
            "training.pairing", "this loss takes one pair a prompt; choose best-worst, best-second or random"
        )
    if not loss.pairs and recipe.training.pairing is not None:
        raise ConfigError("training.pairing", "this loss takes all samples of a prompt; leave `pairing` out")
    for name, instructions in programs.items():
        refuse_unfit(instructions, loss, recipe.training.pairing, name)
        refuse_unplayable(instructions, recipe, name)
        refuse_partly_judged(instructions, recipe, name)
        refuse_undrawable(instructions, resolved.engine, name)
    if recipe.answers_shown > 1:
        refuse_pairwise(resolved)
    refuse_unshowable(resolved)
    if recipe.evaluation.judge is not None:
        resolved.evaluation_judge.check()
    if recipe.verdict_cache != "run":
        check_cache(RunFolder(Path()).verdicts(recipe.verdict_cache))
    _ = resolved.classify


def refuse_pairwise(resolved: ResolvedRecipe) -> None:
    """Refuse what knows comparisons of two answers only, where users are shown several.

    Raises:
        ConfigError: a judge whose users cannot be asked, or a loss that is trained on labels or on a value of ½.
    """
    k, loss = resolved.recipe.answers_shown, resolved.loss
    who, how = describe(resolved.judge)["name"], describe(loss)["name"]
    if not isinstance(resolved.judge, Population):
        raise ConfigError(
            "judge",
            f"what a user takes from {k} answers (`answers_shown`) is known of the users of a `population`; "
            f"`{who}` has one verdict for all. Use `name: population` with the same members, or answers_shown=1",
        )
    if not loss.takes_any_payoff:
        raise ConfigError(
            "training.loss",
            f"`{how}` as set here is trained on who wins a comparison of two answers, not on how often an answer is"
            f" preferred to {k} (`answers_shown`); use `group`, `rebel` or {{name: pair, target: win_rate}}",
        )


def refuse_unshowable(resolved: ResolvedRecipe) -> None:
    """Refuse an evaluation of several answers at once that there are no users or no answers for.

    Raises:
        ConfigError: see above.
    """
    recipe, judge = resolved.recipe, resolved.evaluation_judge
    if not isinstance(judge, Population):
        if recipe.evaluation.answers_shown:
            raise ConfigError(
                "evaluation.answers_shown",
                f"is for the users of a `population`; the judge of the evaluation is `{describe(judge)['name']}`. Name"
                " one as evaluation.judge, or leave it out",
            )
        return
    if max(numbers_shown(recipe)) > recipe.evaluation.samples:
        raise ConfigError(
            "evaluation.samples",
            f"{recipe.evaluation.samples} answers a prompt cannot show {recipe.answers_shown} (`answers_shown`); raise"
            " it, or name smaller numbers in evaluation.answers_shown",
        )


def refuse_other(written: Mapping[str, Any], plain: Mapping[str, Any], folder: Path) -> None:
    """Raise RunError if the folder's run was made by another recipe, saying what differs."""
    changed = changes(written["recipe"], plain)
    if changed:
        listed = "; ".join(f"{k} was {old!r}, is {new!r}" for k, (old, new) in list(changed.items())[:5])
        more = f"; and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise RunError(
            str(folder), f"this folder's run has another configuration: {listed}{more}. Use another --output-dir"
        )


def refuse_other_processes(run: RunFolder, processes: int) -> None:
    """Refuse to go on in another number of processes where batches are each process's own, as in older runs.

    An optimiser step would be of other prompts, and the run neither the one that was begun nor one of so many
    processes. Where the batch is the recipe's, any number of processes takes the same steps.

    Raises:
        RunError: the number is not the one that such a run was begun in.
    """
    if run.shares_batches:
        return
    path = run.provenance
    sessions = read(Provenance, path).sessions if path.is_file() else ()
    before = sessions[-1].processes if sessions else None
    if before is not None and before != processes:
        raise RunError(
            str(run.path),
            f"this run was trained in {before} process{'es' * (before != 1)}, and this is {processes}: when it was"
            " begun, prompts_per_batch and batch_size were those of each process, so it would become another run; go on"
            f" with {before}, or begin anew in another --output-dir",
        )


def changes(written: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs between two recipes and is not harmless: by dotted key, in order, what was written and what is."""
    old, new = _flat(_without_harmless(written)), _flat(_without_harmless(plain))
    for place, meant in _ADDED.items():
        for prefix in ("", "of."):
            if prefix + place in new:
                old.setdefault(prefix + place, meant)
    return {k: (old.get(k), new.get(k)) for k in sorted(old.keys() | new.keys()) if old.get(k) != new.get(k)}


def _without_harmless(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe without `HARMLESS`, and of its judges only what changes a verdict: a larger budget continues a run.

    Likewise of its engine, what decides a draw. The recipe that an exploiter's settings are `of` is treated alike.
    """
    kept = dict(recipe)
    if "judge" in recipe:  # another version's recipe may be without
        kept["judge"] = _essentials(recipe["judge"], resolve_judge, "judge")
    evaluation = recipe.get("evaluation")
    if isinstance(evaluation, Mapping) and evaluation.get("judge") is not None:
        kept["evaluation"] = dict(evaluation) | {
            "judge": _essentials(evaluation["judge"], resolve_judge, "evaluation.judge")
        }
    sampling = recipe.get("sampling")
    if isinstance(sampling, Mapping) and sampling.get("engine") is not None:
        kept["sampling"] = dict(sampling) | {
            "engine": _essentials(sampling["engine"], resolve_engine, "sampling.engine")
        }
    if isinstance(kept.get("of"), Mapping):
        kept["of"] = _without_harmless(kept["of"])
    for place in HARMLESS:
        kept = _without(kept, place.split("."))
    return kept


def _without(values: Mapping[str, Any], place: Sequence[str]) -> dict[str, Any]:
    first, *rest = place
    inside = values.get(first)
    if not rest:
        return {k: v for k, v in values.items() if k != first}
    return dict(values) | {first: _without(inside, rest)} if isinstance(inside, Mapping) else dict(values)


def _essentials(spec: Any, resolve: Callable[[object, str], Judge | Engine], place: str) -> Any:
    try:
        member = resolve(spec, place)
    except ComalError:  # written by another version, or of a package that is gone: compare it as it stands
        return spec
    return member.essentials()


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return {k: v for key, item in value.items() for k, v in _flat(item, f"{prefix}{key}.").items()}
    return {prefix.removesuffix("."): value}
