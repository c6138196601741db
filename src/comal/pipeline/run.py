"""A whole run: supervised stage, methods, final evaluation; every part is skipped when its artifact is there."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock

import comal
from comal.algorithms.base import Algorithm
from comal.errors import ComalError, ConfigError, RunError
from comal.evaluation.scoreboard import START
from comal.judges.base import Judge
from comal.judges.cache import cache_path
from comal.judges.cache_file import check_cache
from comal.judges.oracle import Oracle
from comal.losses.base import Loss
from comal.pipeline.data import Pair, PromptSplits, load_pairs, split_prompts
from comal.pipeline.distributed import on_main, state
from comal.pipeline.folder import SUPERVISED_STATE, clear_temporaries, link_folder, read_json, write_json
from comal.pipeline.followable import refuse_unfit, refuse_unsampleable
from comal.pipeline.method import Method, Parts
from comal.pipeline.online_fit import refuse_unplayable
from comal.pipeline.progress import FileProgress
from comal.pipeline.provenance import record
from comal.pipeline.roles import INITIAL
from comal.pipeline.settings import Recipe
from comal.pipeline.tournament import answer_test_prompts, evaluate
from comal.pipeline.training import check_arguments
from comal.pipeline.workers import side_by_side, wait_for_workers, worker_lock, young_garbage_only
from comal.plugins import ALGORITHMS, JUDGES, LOSSES, describe, load_object
from comal.policies.adapters import LoraConfig
from comal.policies.base import Prompt
from comal.policies.loading import require_folder
from comal.policies.store import PolicyStore
from comal.policies.transformers import Decoding

FORMAT = 1
HARMLESS = frozenset({"processes", "verdict_cache", "sampling.max_failure_rate", "evaluation.max_failure_rate"})
"""Settings that may differ when a run is continued: they change how fast or how far it goes and no figure (threads
round). A judge's own are `Judge.harmless`."""


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


class Run:
    """A run in its folder. Making one claims the folder; `close` (or a with block) gives it back."""

    def __init__(self, folder: Path, recipe: Recipe, command: str | None = None) -> None:
        self.folder = folder
        self.recipe = recipe
        self.command = command
        self.lock = filelock.FileLock(folder / ".lock")

    def __enter__(self) -> Run:
        self.claim()
        return self

    def __exit__(self, *_: object) -> None:
        self.lock.release()

    def claim(self) -> None:
        """Make the folder, or take up what is in it.

        Raises:
            RunError: the folder holds another run, something else, or is in use.
        """
        check(self.recipe)
        plain = canonical(self.recipe)
        if not state().is_main_process:
            state().wait_for_everyone()
            return
        marker = self.folder / "run.json"
        if self.folder.exists() and not self.folder.is_dir():
            raise RunError(str(self.folder), "this is a file, not a folder; choose another --output-dir")
        if marker.is_file():
            self._refuse_other_work(plain)
        elif self.folder.exists() and any(not _left_by_a_claim(p) for p in self.folder.iterdir()):
            raise RunError(str(self.folder), "the folder is not empty and holds no run; choose another --output-dir")
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            # Workers of a killed run notice within a stage that they are orphans; wait for them a little.
            self.lock.acquire(timeout=5)
            wait_for_workers(self.folder, list(method_names(self.recipe)))
        except filelock.Timeout as error:
            raise RunError(str(self.folder), "another process is working in this folder; wait for it to end") from error
        clear_temporaries(self.folder)
        if not marker.is_file() or read_json(marker).get("recipe") != plain:
            self._refuse_other_work(plain)  # again: another process may have worked here before the lock was ours
            if not _holds_work(self.folder):
                shutil.rmtree(self.folder / "data", ignore_errors=True)
            write_json(marker, {"format": FORMAT, "comal": comal.__version__, "recipe": plain})
        record(self.folder, self.command, state().num_processes)
        state().wait_for_everyone()

    def _refuse_other_work(self, plain: Mapping[str, Any]) -> None:
        """Refuse what another recipe computed; a run that stopped before it computed anything may be changed."""
        if (self.folder / "run.json").is_file() and _holds_work(self.folder):
            refuse_other(read_json(self.folder / "run.json"), plain, self.folder)

    def execute(self) -> dict[str, Any]:
        """Do what is left to do; returns the content of result.json."""
        progress = FileProgress(self.folder / "progress.json", 0)
        prepare_start(self.folder, self.recipe, progress)
        with timed(self.folder, "methods"):
            self._methods()
        with timed(self.folder, "evaluation"):
            if not (self.folder / "result.json").is_file():
                result = evaluate(self.folder, parts(self.folder, self.recipe), list(method_names(self.recipe)))
                on_main(lambda: write_json(self.folder / "result.json", result))
        on_main(self._deliver)
        final: dict[str, Any] = read_json(self.folder / "result.json")
        return final

    def _methods(self) -> None:
        left = [m for m in method_names(self.recipe) if not (self.folder / m / "final.json").is_file()]
        if self.recipe.processes > 1 and len(left) > 1:
            if state().num_processes > 1:
                raise ConfigError("processes", "methods cannot run side by side under torchrun; set processes: 1")
            side_by_side(self.folder, "method", left, self.recipe.processes)
            return
        for name in left:
            run_method(self.folder, self.recipe, name, parent=None)

    def _deliver(self) -> None:
        main = next(iter(method_names(self.recipe)))
        final = read_json(self.folder / main / "final.json")
        source = self.folder / main / "steps" / final["checkpoint"] / "checkpoint"
        if final["checkpoint"] == INITIAL:
            source = self.folder / "supervised"
        if source.is_dir() and not (self.folder / "model").is_dir():
            link_folder(source, self.folder / "model")


_SPLITS = ("train", "validation", "test")


def prepare_start(folder: Path, recipe: Recipe, progress: FileProgress) -> None:
    """Bring the recipe's prompts and its starting model into `folder`, where they are not there yet."""
    on_main(lambda: _prepare_data(folder, recipe))
    with timed(folder, "supervised"):
        if recipe.supervised is not None and not (folder / "supervised").is_dir():
            from comal.pipeline.supervised import make_supervised

            progress.stage("supervised", 0)
            rows = read_json(folder / "data" / "pairs.json")
            pairs = [Pair(Prompt(tuple(r["messages"])), r["answer"]) for r in rows]
            make_supervised(folder / "supervised", pairs, recipe)
        on_main(lambda: shutil.rmtree(folder / SUPERVISED_STATE, ignore_errors=True))


def _prepare_data(folder: Path, recipe: Recipe) -> None:
    if not (folder / "data" / "prompts.json").is_file():
        splits = split_prompts(recipe.prompts, recipe.seed)
        plain = {name: [[dict(m) for m in p.messages] for p in getattr(splits, name)] for name in _SPLITS}
        write_json(folder / "data" / "prompts.json", plain)
    if recipe.supervised is not None and not (folder / "data" / "pairs.json").is_file():
        pairs = load_pairs(recipe.supervised.data, "supervised.data", recipe.seed)
        rows = [{"messages": [dict(m) for m in p.prompt.messages], "answer": p.answer} for p in pairs]
        write_json(folder / "data" / "pairs.json", rows)


def parts(folder: Path, recipe: Recipe) -> Parts:
    """What the methods of a run share, from its folder."""
    plain = read_json(folder / "data" / "prompts.json")
    splits = PromptSplits(*(tuple(Prompt(tuple(messages)) for messages in plain[name]) for name in _SPLITS))
    policy = recipe.policy
    base = folder / "supervised" if recipe.supervised is not None else policy.model
    assert base is not None
    lora = policy.lora
    store = PolicyStore(
        base,
        revision=policy.revision if recipe.supervised is None else None,
        lora=None if lora is None else LoraConfig(lora.r, lora.alpha, lora.target_modules),
        dtype=policy.dtype,
        chat_template=policy.chat_template,
        system_prompt=policy.system_prompt,
        max_prompt_tokens=policy.max_prompt_tokens,
        decoding=Decoding(
            recipe.sampling.temperature, recipe.sampling.top_p, policy.max_new_tokens, recipe.sampling.batch_size
        ),
        score_batch=recipe.training.log_prob_batch,
        seed=recipe.seed,
        trust_remote_code=policy.trust_remote_code,
        share_prompt=recipe.training.share_prompt,
    )
    judge: Judge = JUDGES.build(recipe.judge, "judge")
    verdicts, spend = cache_path(recipe.verdict_cache, folder), folder / "spend.sqlite"
    tolerated = recipe.sampling.max_failure_rate
    evaluation_oracle = oracle = Oracle(judge, verdicts, tolerated, spend_path=spend)
    if recipe.evaluation.judge is not None or recipe.evaluation.max_failure_rate is not None:
        if recipe.evaluation.judge is not None:
            judge = JUDGES.build(recipe.evaluation.judge, "evaluation.judge")
        if recipe.evaluation.max_failure_rate is not None:
            tolerated = recipe.evaluation.max_failure_rate
        evaluation_oracle = Oracle(judge, verdicts, tolerated, spend_path=spend)
    loss: Loss = LOSSES.build(recipe.training.loss, "training.loss")
    return Parts(recipe, store, loss, oracle, evaluation_oracle, splits)


def run_method(folder: Path, recipe: Recipe, name: str, parent: int | None) -> None:
    """Run or continue one method of a prepared run."""
    (folder / name).mkdir(exist_ok=True)
    with worker_lock(folder, name), young_garbage_only():
        progress = FileProgress(folder / name / "progress.json", recipe.steps, parent)
        shared = parts(folder, recipe)
        Method(folder / name, build_algorithms(recipe)[name], shared, progress).run()
        answer_test_prompts(folder, shared, name)


def refuse_other(written: Mapping[str, Any], plain: Mapping[str, Any], folder: Path) -> None:
    """Raise RunError if the folder's run was made by another recipe, saying what differs."""
    if written.get("format") != FORMAT:
        raise RunError(str(folder), f"the run has format {written.get('format')}, this comal writes {FORMAT}")
    old, new = _flat(_without_harmless(written["recipe"])), _flat(_without_harmless(plain))
    changed = [k for k in sorted(old.keys() | new.keys()) if old.get(k) != new.get(k)]
    if changed:
        listed = "; ".join(f"{k} was {old.get(k)!r}, is {new.get(k)!r}" for k in changed[:5])
        more = f"; and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise RunError(
            str(folder), f"this folder's run has another configuration: {listed}{more}. Use another --output-dir"
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


def _holds_work(folder: Path) -> bool:
    """Whether anything was computed in a run's folder yet."""
    return any(p for pattern in ("supervised", "*/steps", "evaluation", "result.json") for p in folder.glob(pattern))


def _left_by_a_claim(path: Path) -> bool:
    return path.name == ".lock" or path.name.startswith(".run.json.tmp-")


@contextlib.contextmanager
def timed(folder: Path, part: str) -> Iterator[None]:
    """Add a part's wall-clock seconds to timing.json, over all the processes that worked on it."""
    started = time.monotonic()
    try:
        yield
    finally:

        def add() -> None:
            path = folder / "timing.json"
            known = read_json(path) if path.is_file() else {}
            known[part] = round(known.get(part, 0.0) + time.monotonic() - started, 2)
            write_json(path, known)

        if state().is_main_process:
            add()
