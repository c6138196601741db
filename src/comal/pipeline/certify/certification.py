"""Certification: train exploiters of finished policies, then measure every adversary on fresh prompts.

FOLDER/certify.json                      what is certified: settings, recipe, adversaries given by the user
FOLDER/answers/                          answers of the pool's policies to the fresh prompts
FOLDER/POLICY/policy.json                which weights
FOLDER/POLICY/exploiter-from-*/          a method's folder each: journal, steps, looks
FOLDER/POLICY/certificate.json           the result
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import filelock

from comal.algorithms.base import POLICY, REFERENCE, TARGET
from comal.errors import ConfigError, PolicyError, RunError
from comal.evaluation.estimates import Estimate
from comal.evaluation.exploitability.adversaries import class_shares
from comal.evaluation.exploitability.certificate import Certificate, Exploiter, Look, figures, kind_of
from comal.evaluation.exploitability.scoreboard import START
from comal.pipeline.certify.exploiter import Exploiter as TrainedExploiter
from comal.pipeline.certify.exploiter import checkpoint_of, looks_of, picked_look
from comal.pipeline.certify.plan import Plan, require_kind, start_of, weights_digest, whole_path
from comal.pipeline.certify.settings import canonical, require_target
from comal.pipeline.disk.files import clear_temporaries, read_json, write_json
from comal.pipeline.disk.progress import FileProgress
from comal.pipeline.processes.distributed import state
from comal.pipeline.processes.workers import side_by_side, wait_for_workers, worker_lock, young_garbage_only
from comal.pipeline.run.check import check, refuse_other
from comal.pipeline.run.door import keep
from comal.pipeline.run.final_evaluation import comparisons_of
from comal.pipeline.run.resources import Parts, classifier, evaluation_field
from comal.pipeline.run.start import prepare_start, timed
from comal.pipeline.step.samples import Samples, sample_once
from comal.plugins import ALGORITHMS
from comal.policies.base import Prompt, derive_seed
from comal.policies.loading import load_tokenizer

EXAMPLES = 20
Start = Literal["policy", "start"]
_NAMES: dict[Start, str] = {"policy": "trained exploiter (from itself)", "start": "trained exploiter (from start)"}


class Certification:
    """Certificates of some policies, in a folder. Use it as a with block, which claims the folder.

    Args:
        folder: of the certification.
        plan: what it is about.
        policies: checkpoints of the policies to certify, by name.
        pool: checkpoints of the adversaries that are policies, the starting one excepted, by name.
    """

    def __init__(
        self, folder: Path, plan: Plan, policies: Mapping[str, str | Path], pool: Mapping[str, str | Path]
    ) -> None:
        self.folder = folder
        self.plan = plan
        self.policies = {name: whole_path(path) for name, path in policies.items()}
        self.pool = {name: whole_path(path) for name, path in pool.items() if name != START}
        self.lock = filelock.FileLock(folder / ".lock")

    def __enter__(self) -> Certification:
        self.claim()
        return self

    def __exit__(self, *_: object) -> None:
        self.lock.release()

    @property
    def exploiters(self) -> list[str]:
        """Folders of the exploiters within the certification's, policy by policy."""
        return [
            f"{name}/exploiter-from-{start}"
            for name, path in self.policies.items()
            for start in self._starts(path)
        ]  # fmt: skip

    def claim(self) -> None:
        """Make the folder, or take up what is in it.

        Raises:
            ComalError: wrong settings; a folder that holds something else, or is in use.
        """
        check(self.plan.settings.recipe(self.plan.recipe))
        require_target(self.plan.settings)
        for path in self.plan.against:
            require_kind(path, self.plan.recipe)
        plain = self.plan.to_json()
        weights = {name: weights_digest(Path(path)) for name, path in self.policies.items() if Path(path).is_dir()}
        if state().is_main_process:
            self._claim(plain, weights)
        state().wait_for_everyone()

    def _claim(self, plain: Mapping[str, Any], weights: Mapping[str, str]) -> None:
        marker = self.folder / "certify.json"
        if self.folder.exists() and not self.folder.is_dir():
            raise RunError(str(self.folder), "this is a file, not a folder; choose another --output-dir")
        if self.folder.is_dir() and not marker.is_file() and not all(map(_left_by_a_claim, self.folder.iterdir())):
            raise RunError(
                str(self.folder), "the folder is not empty and holds no certificates; choose another --output-dir"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self.lock.acquire(timeout=5)
            wait_for_workers(self.folder, self.exploiters)
        except filelock.Timeout as error:
            raise RunError(str(self.folder), "another process is working in this folder; wait for it to end") from error
        clear_temporaries(self.folder)
        if marker.is_file():
            if self._holds_work():
                refuse_other(read_json(marker), plain["recipe"], self.folder)
            else:
                shutil.rmtree(self.folder / "data", ignore_errors=True)
        write_json(marker, plain)
        for name, path in self.policies.items():
            written = self.folder / name / "policy.json"
            which = {"policy": name, "checkpoint": str(path), "weights": weights.get(name)}
            if written.is_file() and read_json(written)["weights"] != which["weights"]:
                raise RunError(str(written.parent), "certifies another policy's weights; choose another --output-dir")
            write_json(written, which)

    def _holds_work(self) -> bool:
        return any(
            p for pattern in ("*/*/steps", "*/*/looks", "answers", "supervised") for p in self.folder.glob(pattern)
        )

    def execute(self) -> list[Certificate]:
        """Do what is left to do; returns the policies' certificates."""
        plan = self.plan
        progress = FileProgress(self.folder / "progress.json", plan.settings.steps)
        if not plan.of_run:
            prepare_start(plan.home, plan.recipe, progress)
        self._require_tokenizer(plan.parts())
        with timed(self.folder, "exploiters"):
            self._train()
        with timed(self.folder, "measurements"), young_garbage_only():
            for name in self.policies:
                if not (self.folder / name / "certificate.json").is_file():
                    self._measure(name, progress)
        state().wait_for_everyone()
        return [Certificate.from_json(read_json(self.folder / n / "certificate.json")) for n in self.policies]

    def _require_tokenizer(self, shared: Parts) -> None:
        """Texts of a model that counts in other tokens would be drawn, scored and trained on as gibberish."""
        own = shared.store.tokenizer.get_vocab()
        folders = [*self.plan.against, *([] if self.plan.of_run else map(Path, self.policies.values()))]
        for folder in folders:
            if (folder / "tokenizer_config.json").is_file() and load_tokenizer(str(folder)).get_vocab() != own:
                raise PolicyError(
                    str(folder),
                    f"has another vocabulary than the model that the recipe starts from ({shared.store.initial}); "
                    "name a recipe whose policy.model is of this model's family",
                )

    def _starts(self, path: str) -> list[Start]:
        """An exploiter of the starting model itself has only one place to start from."""
        starts = list(dict.fromkeys(self.plan.settings.starts))
        return ["start"] if path == start_of(self.plan) else starts

    def _train(self) -> None:
        left = [name for name in self.exploiters if not (self.folder / name / "final.json").is_file()]
        processes = self.plan.settings.processes
        if processes > 1 and len(left) > 1:
            if state().num_processes > 1:
                raise ConfigError("processes", "exploiters cannot train side by side under torchrun; set processes=1")
            side_by_side(self.folder, "exploiter", left, processes)
            return
        for name in left:
            train_exploiter(self.folder, self.plan, name, parent=None)

    def _measure(self, name: str, progress: FileProgress) -> None:
        """Every adversary against policy `name` on fresh prompts; all processes sample, the main one asks the judge."""
        plan, folder = self.plan, self.folder / name
        shared = plan.parts()
        settings = shared.recipe.evaluation
        used = min(plan.recipe.evaluation.test_prompts, len(shared.splits.test)) if plan.of_run else 0
        prompts = fresh_prompts(shared.splits.test, used)[: settings.test_prompts]
        most = max(settings.best_of, default=0)
        target = self.policies[name]
        checkpoints: dict[str, str | Path] = {START: shared.store.initial, **self.pool, name: target}
        where = {policy: self.folder / "answers" / _file_name(policy) for policy in checkpoints}
        exploiters: dict[Start, Mapping[str, Any]] = {}
        for start in self._starts(target):
            work = folder / f"exploiter-from-{start}"
            picked = picked_look(looks_of(work))
            exploiters[start] = picked
            label = _NAMES[start]
            origin = target if start == "policy" else shared.store.initial
            checkpoints[label], where[label] = checkpoint_of(work, picked, origin), work / "answers"
        pool: dict[str, list[list[str]]] = {}
        candidates: dict[str, list[list[str]]] = {}
        labels = [_NAMES[start] for start in exploiters]
        for number, (policy, checkpoint) in enumerate(checkpoints.items()):
            progress.stage(f"{name}: adversaries", number)
            kinds = [("answers", settings.samples)]
            if most and policy in (START, name, *labels):
                kinds.append(("candidates", most))
            for what, count in kinds:
                path = where[policy].with_name(f"{where[policy].name}-{what}.parquet")
                drawn = self._draw(path, shared, checkpoint, prompts, count, policy if policy not in labels else name)
                (pool if what == "answers" else candidates)[policy] = drawn.texts
        progress.stage(f"{name}: judging", len(checkpoints))
        if state().is_main_process:
            write_json(
                folder / "certificate.json",
                self._certificate(name, shared, prompts, used, pool, candidates, exploiters).to_json(),
            )

    def _draw(
        self, path: Path, shared: Parts, checkpoint: str | Path, prompts: Sequence[Prompt], count: int, name: str
    ) -> Samples:
        policy = None if path.is_file() else shared.store.open(checkpoint)
        seed = derive_seed(self.plan.settings.seed, "certify", path.name, name)
        samples = sample_once(path, policy, prompts, count, seed)
        keep(self.folder, name, policy)
        return samples

    def _certificate(
        self,
        name: str,
        shared: Parts,
        prompts: Sequence[Prompt],
        used: int,
        pool: Mapping[str, list[list[str]]],
        candidates: Mapping[str, list[list[str]]],
        exploiters: Mapping[Start, Mapping[str, Any]],
    ) -> Certificate:
        texts = [p.text for p in prompts]
        settings = self.plan.settings
        rates = evaluation_field(shared, texts, pool[START]).adversaries(name, pool, candidates)
        labels = [_NAMES[start] for start in exploiters]
        kinds = {adversary: kind_of(adversary, labels) for adversary in rates}
        measured = figures(rates, kinds)
        trained = []
        for start, picked in exploiters.items():
            work = self.folder / name / f"exploiter-from-{start}"
            curve = tuple(Look(look["step"], Estimate(**look["win_rate"])) for look in looks_of(work))
            trained.append(Exploiter(_NAMES[start], start, curve, picked["step"], comparisons_of(work)))
        classify = classifier(settings.evaluation)
        shown = [name, *labels]
        before = {p.id for p in shared.splits.test[:used]}
        return Certificate(
            policy=name,
            weights=read_json(self.folder / name / "policy.json")["weights"] or "",
            judge=canonical(settings)["judge"],
            prompts=len(prompts),
            seen=sum(p.id in before for p in prompts),
            adversaries=measured.adversaries,
            worst_case=measured.worst_case,
            ceiling=measured.ceiling,
            spread=measured.spread,
            exploiters=tuple(trained),
            settings=canonical(settings),
            classes={} if classify is None else {n: class_shares(pool[n], classify) for n in shown},
            examples=tuple(
                {"prompt": texts[x], "answers": {n: pool[n][x][0] for n in shown}}
                for x in range(min(EXAMPLES, len(texts)))
            ),
        )


def train_exploiter(folder: Path, plan: Plan, name: str, parent: int | None) -> None:
    """Train or go on training the exploiter in `folder / name`, where name is POLICY/exploiter-from-START."""
    policy, _, start = name.partition("/exploiter-from-")
    (folder / name).mkdir(parents=True, exist_ok=True)
    with worker_lock(folder, name), young_garbage_only():
        shared = plan.parts()
        target = read_json(folder / policy / "policy.json")["checkpoint"]
        origin = target if start == "policy" else shared.store.initial
        TrainedExploiter(
            folder / name,
            ALGORITHMS.build(plan.settings.algorithm, "algorithm"),
            shared,
            FileProgress(folder / name / "progress.json", plan.settings.steps, parent),
            {POLICY: origin, REFERENCE: origin, TARGET: target},
            target_answers=folder / policy / "validation-target.parquet",
        ).run()


def _left_by_a_claim(path: Path) -> bool:
    return path.name == ".lock" or path.name.startswith(".certify.json.tmp-")


def fresh_prompts(test: Sequence[Prompt], used: int) -> list[Prompt]:
    """The test prompts, those first that the run's own evaluation (of the first `used`) has not seen."""
    return [*test[used:], *test[:used]]


def _file_name(policy: str) -> str:
    """A policy's name as part of a file's: a user's policy is named by its folder, which has slashes in it."""
    if re.fullmatch(r"[\w.@-]+", policy):
        return policy
    return "given-" + hashlib.sha256(policy.encode()).hexdigest()[:12]
