"""What a run is asked to do: its methods, everything that can be wrong with its recipe, and what may differ later."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comal.algorithms.base import Algorithm
from comal.errors import ComalError, ConfigError, RunError
from comal.evaluation.exploitability.scoreboard import START
from comal.judges.base import Judge
from comal.judges.kept.cache import cache_path
from comal.judges.kept.file import check_cache
from comal.losses.base import Loss
from comal.pipeline.disk.files import read_json
from comal.pipeline.step.fits import refuse_unfit, refuse_unplayable, refuse_unsampleable
from comal.pipeline.training.trainers import check_arguments
from comal.plugins import ALGORITHMS, JUDGES, LOSSES, describe, load_object
from comal.policies.loading import require_folder
from comal.recipes.settings import Recipe

FORMAT = 1

HARMLESS = frozenset({"processes", "verdict_cache", "sampling.max_failure_rate", "evaluation.max_failure_rate"})
"""Settings that may differ when a run is continued: they change how fast or how far it goes and no figure (threads
round). A judge's own are `Judge.harmless`."""

_ADDED = {"policy.long_prompts": "cut"}
"""Settings that older runs do not name, with what they meant."""

_TAKEN = frozenset({START, "data", "evaluation", "model", "now", "supervised"})
"""Names that mean something else in a run's folder or among an evaluation's policies."""


def method_names(recipe: Recipe) -> dict[str, Any]:
    """The methods of a run and their algorithms' specifications, the main one first."""
    main = recipe.algorithm.get("name") if isinstance(recipe.algorithm, Mapping) else recipe.algorithm
    if not isinstance(main, str):
        raise ConfigError(
            "algorithm", f"expected the name of an algorithm, or a mapping with `name`, got {recipe.algorithm!r}"
        )
    label = main.rpartition(":")[2].lower()
    for name in recipe.baselines:
        if name in _TAKEN or not re.fullmatch(r"\w[\w.-]*", name):
            raise ConfigError(
                f"baselines.{name}",
                "a folder of the run or a policy cannot have this name; call the baseline something else",
            )
    if label in recipe.baselines:
        raise ConfigError(f"baselines.{label}", "this is the main algorithm's name; call the baseline something else")
    return {label: recipe.algorithm, **recipe.baselines}


def build_algorithms(recipe: Recipe) -> dict[str, Algorithm]:
    """The methods' algorithms, all of which a language model can follow.

    Raises:
        ConfigError: an unknown or unusable algorithm.
    """
    built = {}
    for name, spec in method_names(recipe).items():
        place = "algorithm" if spec is recipe.algorithm else f"baselines.{name}"
        built[name] = ALGORITHMS.build(spec, place)
        refuse_unsampleable(built[name], place)
    return built


def canonical(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values, every plug-in with all of its options, whether given or by default."""
    plain = recipe.model_dump(mode="json")
    plain["algorithm"] = describe(ALGORITHMS.build(recipe.algorithm, "algorithm"))
    plain["judge"] = describe(JUDGES.build(recipe.judge, "judge"))
    plain["training"]["loss"] = describe(LOSSES.build(recipe.training.loss, "training.loss"))
    plain["baselines"] = {k: describe(ALGORITHMS.build(v, f"baselines.{k}")) for k, v in recipe.baselines.items()}
    if recipe.evaluation.judge is not None:
        plain["evaluation"]["judge"] = describe(JUDGES.build(recipe.evaluation.judge, "evaluation.judge"))
    return plain


def check(recipe: Recipe) -> None:
    """Everything that can be wrong with a recipe and be seen without loading weights.

    Raises:
        ComalError: the first mistake found.
    """
    algorithms = build_algorithms(recipe)
    if recipe.policy.model is not None:
        require_folder(recipe.policy.model)
    check_arguments(recipe.training, "training")
    if recipe.supervised is not None:
        check_arguments(recipe.supervised, "supervised")
    judge: Judge = JUDGES.build(recipe.judge, "judge")
    judge.check()
    loss: Loss = LOSSES.build(recipe.training.loss, "training.loss")
    if loss.pairs and recipe.training.pairing is None:
        raise ConfigError(
            "training.pairing", "this loss takes one pair a prompt; choose best-worst, best-second or random"
        )
    if not loss.pairs and recipe.training.pairing is not None:
        raise ConfigError("training.pairing", "this loss takes all samples of a prompt; leave `pairing` out")
    for name, rule in algorithms.items():
        instructions = refuse_unsampleable(rule, name)
        refuse_unfit(instructions, loss, recipe.training.pairing, name)
        refuse_unplayable(instructions, recipe, name)
    if recipe.evaluation.judge is not None:
        JUDGES.build(recipe.evaluation.judge, "evaluation.judge").check()
    if recipe.verdict_cache != "run":
        check_cache(cache_path(recipe.verdict_cache, Path()))
    if recipe.evaluation.classes is not None:
        load_object(recipe.evaluation.classes, "evaluation.classes")


def refuse_other(written: Mapping[str, Any], plain: Mapping[str, Any], folder: Path) -> None:
    """Raise RunError if the folder's run was made by another recipe, saying what differs."""
    if written.get("format") != FORMAT:
        raise RunError(str(folder), f"the run has format {written.get('format')}, this comal writes {FORMAT}")
    old, new = _flat(_without_harmless(written["recipe"])), _flat(_without_harmless(plain))
    for place, meant in _ADDED.items():
        for prefix in ("", "of."):
            if prefix + place in new:
                old.setdefault(prefix + place, meant)
    changed = [k for k in sorted(old.keys() | new.keys()) if old.get(k) != new.get(k)]
    if changed:
        listed = "; ".join(f"{k} was {old.get(k)!r}, is {new.get(k)!r}" for k in changed[:5])
        more = f"; and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise RunError(
            str(folder), f"this folder's run has another configuration: {listed}{more}. Use another --output-dir"
        )


def refuse_other_processes(folder: Path, processes: int) -> None:
    """Refuse to go on in another number of processes.

    Batches are a process's own: an optimiser step would be of other prompts, and the run neither the one that was begun
    nor one of so many processes.

    Raises:
        RunError: the number is not the one that the run was begun in.
    """
    path = folder / "provenance.json"
    sessions = read_json(path)["sessions"] if path.is_file() else []
    before = sessions[-1].get("processes") if sessions else None
    if before is not None and before != processes:
        raise RunError(
            str(folder),
            f"this run was trained in {before} processes, and this is {processes}: prompts_per_batch and batch_size are"
            f" those of each process, so it would become another run; go on with {before}, or begin anew in another"
            " --output-dir",
        )


def _without_harmless(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe without `HARMLESS`, and of its judges only what changes a verdict: a larger budget continues a run.

    The recipe that an exploiter's settings are `of` is treated alike.
    """
    evaluation = dict(recipe.get("evaluation", {}))
    if evaluation.get("judge") is not None:
        evaluation["judge"] = _essentials(evaluation["judge"], "evaluation.judge")
    kept = dict(recipe) | {"judge": _essentials(recipe["judge"], "judge"), "evaluation": evaluation}
    if isinstance(kept.get("of"), Mapping):
        kept["of"] = _without_harmless(kept["of"])
    for place in HARMLESS:
        section, _, name = place.rpartition(".")
        inside = kept.get(section) if section else kept
        if isinstance(inside, Mapping) and name in inside:
            rest = {k: v for k, v in inside.items() if k != name}
            kept = kept | {section: rest} if section else rest
    return kept


def _essentials(spec: Any, place: str) -> Any:
    try:
        judge: Judge = JUDGES.build(spec, place)
    except ComalError:  # written by another version, or of a package that is gone: compare it as it stands
        return spec
    return judge.essentials()


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return {k: v for key, item in value.items() for k, v in _flat(item, f"{prefix}{key}.").items()}
    return {prefix.removesuffix("."): value}
