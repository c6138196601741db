"""Certification: train exploiters of finished policies, then measure every adversary on fresh prompts.

What a certification leaves is in `comal.pipeline.disk.certification_folder`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from comal.algorithms.base import POLICY, REFERENCE, TARGET
from comal.errors import ConfigError, PolicyError, RunError
from comal.evaluation.exploitability.adversaries import Adversary, class_shares
from comal.evaluation.exploitability.certificate import (
    AnsweredPrompt,
    Certificate,
    CurvePoint,
    TrainedExploiter,
    figures,
)
from comal.evaluation.exploitability.scoreboard import START
from comal.importing import folders_of
from comal.pipeline.certify.exploiter import Exploiter
from comal.pipeline.certify.plan import Plan, require_kind, start_of, weights_digest, whole_path
from comal.pipeline.certify.settings import canonical, require_target
from comal.pipeline.data.fit import encoder_of
from comal.pipeline.disk.certification_folder import CertificationFolder
from comal.pipeline.disk.claim import claim
from comal.pipeline.disk.exploiter_look import ExploiterLook, picked_look
from comal.pipeline.disk.progress import FileProgress
from comal.pipeline.processes.distributed import state
from comal.pipeline.processes.garbage import young_garbage_only
from comal.pipeline.processes.pool import side_by_side, worker_lock
from comal.pipeline.run.check import check, refuse_other
from comal.pipeline.run.door import keep
from comal.pipeline.run.final_evaluation import comparisons_of
from comal.pipeline.run.resources import evaluation_field, several_answers
from comal.pipeline.run.start import prepare_start, timed
from comal.pipeline.step.resources import Resources
from comal.pipeline.step.samples import Samples, sample_once
from comal.policies.base import Prompt, derive_seed
from comal.policies.encoder import PromptEncoder
from comal.policies.engines.outside.running import close_engine

EXAMPLES = 20
_SHOWN = 60
Start = Literal["policy", "start"]
_EXPLOITERS: dict[Start, Adversary] = {
    "policy": Adversary("trained exploiter", "itself"),
    "start": Adversary("trained exploiter", START),
}


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
        self.artifacts = CertificationFolder(folder)
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Certification:
        self.claim()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()
        close_engine()

    @property
    def exploiters(self) -> list[str]:
        """Folders of the exploiters within the certification's, policy by policy."""
        return [
            self.artifacts.exploiter_name(name, start)
            for name, path in self.policies.items()
            for start in self._starts(path)
        ]  # fmt: skip

    def claim(self) -> None:
        """Make the folder, or take up what is in it.

        Raises:
            ComalError: wrong settings; a folder that holds something else, or is in use.
        """
        check(self.plan.exploiter)
        self.plan.exploiter.engine.require()
        require_target(self.plan.exploiter.algorithm)
        for path in self.plan.against:
            require_kind(path, self.plan.recipe)
        plain = self.plan.to_json()
        weights = {name: weights_digest(Path(path)) for name, path in self.policies.items() if Path(path).is_dir()}
        if state().is_main_process:
            self._claim(plain, weights)
        state().wait_for_everyone()

    def _claim(self, plain: Mapping[str, Any], weights: Mapping[str, str]) -> None:
        lock = claim(self.artifacts, plain, refuse_other, self.exploiters)
        with contextlib.ExitStack() as held:
            held.callback(lock.release)
            self.artifacts.write_imports(folders_of(plain["recipe"]))
            for name, path in self.policies.items():
                own = self.artifacts.policy(name)
                which = {"policy": name, "checkpoint": str(path), "weights": weights.get(name)}
                if own.policy_path.is_file() and own.policy()["weights"] != which["weights"]:
                    raise RunError(str(own.path), "certifies another policy's weights; choose another --output-dir")
                own.write_policy(which)
            self._held.push(held.pop_all())

    def execute(self) -> list[Certificate]:
        """Do what is left to do; returns the policies' certificates."""
        plan = self.plan
        progress = FileProgress(self.artifacts.progress, plan.settings.steps)
        if not plan.of_run:
            prepare_start(plan.home, plan.recipe, progress)
        self._require_tokenizer(plan.resources())
        with timed(self.folder, "exploiters"):
            self._train()
        with timed(self.folder, "measurements"), young_garbage_only():
            for name in self.policies:
                if not self.artifacts.policy(name).is_certified:
                    self._measure(name, progress)
        state().wait_for_everyone()
        return [self.artifacts.policy(name).certificate() for name in self.policies]

    def _require_tokenizer(self, shared: Resources) -> None:
        """Refuse policies that would be shown, and read, otherwise than by their own tokenizers and chat templates.

        Texts of a model that counts in other tokens would be drawn, scored and trained on as gibberish; of one that was
        trained on another template other answers than its own would be measured.
        """
        own = shared.store.encoder
        folders = [*self.plan.against, *([] if self.plan.of_run else map(Path, self.policies.values()))]
        for folder in folders:
            if not (folder / "tokenizer_config.json").is_file():
                continue
            its = encoder_of(self.plan.recipe.policy, str(folder))
            if its.tokenizer.get_vocab() != own.tokenizer.get_vocab():
                raise PolicyError(
                    str(folder),
                    f"has another vocabulary than the model that the recipe starts from ({shared.store.initial}); "
                    "name a recipe whose policy.model is of this model's family",
                )
            if its.tokenizer.eos_token != own.tokenizer.eos_token:
                raise PolicyError(
                    str(folder),
                    f"ends its answers with {its.tokenizer.eos_token!r}, and the model that the recipe starts from "
                    f"({shared.store.initial}) with {own.tokenizer.eos_token!r}; name a model with the same eos_token",
                )
            other = next((x for x in shared.splits.test if its(x) != own(x)), None)
            if other is not None:
                raise PolicyError(
                    str(folder),
                    f"is shown {_shown(its, other)} by its own chat template and tokenizer, and would be shown "
                    f"{_shown(own, other)} here; compare the two by `comal eval`, or give both one template",
                )

    def _starts(self, path: str) -> list[Start]:
        """An exploiter of the starting model itself has only one place to start from."""
        starts = list(dict.fromkeys(self.plan.settings.starts))
        return ["start"] if path == start_of(self.plan) else starts

    def _train(self) -> None:
        left = [name for name in self.exploiters if not self.artifacts.exploiter(name)[2].is_final]
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
        plan, own = self.plan, self.artifacts.policy(name)
        shared = plan.resources()
        settings = shared.recipe.evaluation
        used = min(plan.recipe.evaluation.test_prompts, len(shared.splits.test)) if plan.of_run else 0
        prompts = fresh_prompts(shared.splits.test, used)[: settings.test_prompts]
        most = max(settings.best_of, default=0)
        target = self.policies[name]
        checkpoints: dict[str, str | Path] = {START: shared.store.initial, **self.pool, name: target}
        where: dict[str, Callable[[str], Path]] = {
            policy: functools.partial(self.artifacts.answers, _file_name(policy)) for policy in checkpoints
        }
        exploiters: dict[Start, ExploiterLook] = {}
        for start in self._starts(target):
            work = own.exploiter(start)
            picked = picked_look(work.exploiter_looks())
            exploiters[start] = picked
            label = _EXPLOITERS[start].name
            origin = target if start == "policy" else shared.store.initial
            checkpoints[label], where[label] = work.checkpoint_of(picked, origin), work.answers
        pool: dict[str, list[list[str]]] = {}
        candidates: dict[str, list[list[str]]] = {}
        labels = [_EXPLOITERS[start].name for start in exploiters]
        for number, (policy, checkpoint) in enumerate(checkpoints.items()):
            progress.stage(f"{name}: adversaries", number)
            kinds = [("answers", settings.samples)]
            if most and policy in (START, name, *labels):
                kinds.append(("candidates", most))
            for what, count in kinds:
                drawn = self._draw(
                    where[policy](what), shared, checkpoint, prompts, count, policy if policy not in labels else name
                )
                (pool if what == "answers" else candidates)[policy] = drawn.texts
        progress.stage(f"{name}: judging", len(checkpoints))
        if state().is_main_process:
            own.write_certificate(self._certificate(name, shared, prompts, used, pool, candidates, exploiters))

    def _draw(
        self, path: Path, shared: Resources, checkpoint: str | Path, prompts: Sequence[Prompt], count: int, name: str
    ) -> Samples:
        sampler = None if path.is_file() else shared.store.sampler(checkpoint)
        seed = derive_seed(self.plan.settings.seed, "certify", path.name, name)
        samples = sample_once(path, sampler, prompts, count, seed)
        keep(self.folder, name, sampler)
        return samples

    def _certificate(
        self,
        name: str,
        shared: Resources,
        prompts: Sequence[Prompt],
        used: int,
        pool: Mapping[str, list[list[str]]],
        candidates: Mapping[str, list[list[str]]],
        exploiters: Mapping[Start, ExploiterLook],
    ) -> Certificate:
        texts = [p.text for p in prompts]
        settings = canonical(self.plan.settings, self.plan.exploiter)
        field = evaluation_field(shared, texts, pool[START])
        rates = field.adversaries(name, pool, candidates)
        several = several_answers(shared, field, name, pool, candidates)
        labels = [_EXPLOITERS[start].name for start in exploiters]
        trained_ones = {_EXPLOITERS[start].name: _EXPLOITERS[start] for start in exploiters}
        measured = figures({trained_ones.get(who.name, who): values for who, values in rates.items()})
        trained = []
        for start, picked in exploiters.items():
            work = self.artifacts.policy(name).exploiter(start)
            curve = tuple(CurvePoint(look.step, look.win_rate) for look in work.exploiter_looks())
            trained.append(
                TrainedExploiter(_EXPLOITERS[start].name, start, picked.step, comparisons_of(work.path), curve)
            )
        classify = shared.classify
        shown = [name, *labels]
        before = {p.id for p in shared.splits.test[:used]}
        return Certificate(
            policy=name,
            weights=self.artifacts.policy(name).policy()["weights"] or "",
            judge=settings["judge"],
            prompts=len(prompts),
            seen=sum(p.id in before for p in prompts),
            adversaries=measured.adversaries,
            worst_case=measured.worst_case,
            ceiling=measured.ceiling,
            spread=measured.spread,
            exploiters=tuple(trained),
            settings=settings,
            classes={} if classify is None else {n: class_shares(pool[n], classify) for n in shown},
            examples=tuple(
                AnsweredPrompt(texts[x], {n: pool[n][x][0] for n in shown}) for x in range(min(EXAMPLES, len(texts)))
            ),
            several=several,
        )


def _shown(encoder: PromptEncoder, prompt: Prompt) -> str:
    text = str(encoder.tokenizer.decode(encoder(prompt)))
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")


def train_exploiter(folder: Path, plan: Plan, name: str, parent: int | None) -> None:
    """Train or go on training the exploiter of this name, one of `Certification.exploiters`."""
    policy, start, own = CertificationFolder(folder).exploiter(name)
    own.path.mkdir(parents=True, exist_ok=True)
    with worker_lock(folder, name), young_garbage_only():
        shared = plan.resources()
        target = policy.policy()["checkpoint"]
        origin = target if start == "policy" else shared.store.initial
        Exploiter(
            own.path,
            plan.exploiter.algorithm,
            shared,
            FileProgress(own.progress, plan.settings.steps, parent),
            {POLICY: origin, REFERENCE: origin, TARGET: target},
            target_answers=policy.target_answers,
        ).run()


def fresh_prompts(test: Sequence[Prompt], used: int) -> list[Prompt]:
    """The test prompts, those first that the run's own evaluation (of the first `used`) has not seen."""
    return [*test[used:], *test[:used]]


def _file_name(policy: str) -> str:
    """A policy's name as part of a file's: a user's policy is named by its folder, which has slashes in it."""
    if re.fullmatch(r"[\w.@-]+", policy):
        return policy
    return "given-" + hashlib.sha256(policy.encode()).hexdigest()[:12]
