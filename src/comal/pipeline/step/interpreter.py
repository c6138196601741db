"""The LLM interpreter: policies are checkpoints, a proximal step is sample → judge → target → log-probs → train.

Roles are names of checkpoints. Every stage leaves an artifact that is either whole or absent, and draws from a seed of
its own, so an interrupted step continues at the stage where it stopped and ends as if it had not been interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from comal.algorithms.base import (
    POLICY,
    Certify,
    Copy,
    ExactOnly,
    ForwardKLStep,
    Instruction,
    Mix,
    PlayOnline,
    ProxStep,
    Report,
    Role,
    StackelbergStep,
    only,
)
from comal.errors import JudgeError
from comal.judges.asking.tables import Table, rates_against_replies
from comal.pipeline.data.prompts import prompts_of_step
from comal.pipeline.disk.files import read_table, write_table
from comal.pipeline.disk.journal import FileJournal
from comal.pipeline.disk.method_folder import INITIAL, MethodFolder, StepFolder
from comal.pipeline.processes.distributed import on_main
from comal.pipeline.step.certificate import sampled_certificate
from comal.pipeline.step.checkpoint import optimizer_state, save_step
from comal.pipeline.step.movement import measure_movement
from comal.pipeline.step.program import cost_of, meets_itself
from comal.pipeline.step.resources import Resources
from comal.pipeline.step.roles import Roles
from comal.pipeline.step.sampler import label, sampler_of
from comal.pipeline.step.samples import Samples, sample_once, score
from comal.pipeline.step.targets import Targets, training_groups
from comal.pipeline.step.verdicts import Design, Judged, draw_win_rates, judge_once, target_win_rates
from comal.pipeline.training.sharding import asked_sharding, begins_in_shards
from comal.pipeline.training.trainers import Group, OptimizerState, TrainerSetup, train_prox
from comal.policies.base import Prompt, derive_seed
from comal.policies.transformers import TransformersPolicy


class StageListener(Protocol):
    """Hears what a method is doing."""

    def stage(self, name: str, step: int) -> None:
        """Proximal step `step` (from 0) has come to stage `name`."""
        ...


class LanguageModelBackend:
    """Carries a program's instructions out on one method's folder.

    Args:
        folder: the method's folder.
        resources: what the methods of the run share.
        journal: receives the metrics of each instruction.
        progress: hears the stages.
        given: checkpoints of roles that do not start as the store's initial policy.
    """

    def __init__(
        self,
        folder: Path,
        resources: Resources,
        journal: FileJournal,
        progress: StageListener,
        given: Mapping[Role, str | Path] | None = None,
    ) -> None:
        self.folder = folder
        self.recipe = resources.recipe
        self.store = resources.store
        self.oracle = resources.oracle
        self.users = resources.users
        self.loss = resources.loss
        self.prompts = resources.splits.train
        self.shares_batches = resources.shares_batches
        self.journal = journal
        self.progress = progress
        self.roles = Roles(folder, resources.store.initial, given)
        self._seconds: dict[str, float] = {}

    def _scorer(self, weights: Mapping[str, float]) -> TransformersPolicy:
        paths = self._weights(weights)
        return self.store.open_mixture(paths) if len(paths) > 1 else self.store.scorer(next(iter(paths)))

    def _weights(self, weights: Mapping[str, float]) -> dict[str | Path, float]:
        return {self.roles.path(name): weight for name, weight in weights.items()}

    def _path(self, role: Role) -> str | Path:
        return self.roles.path(self.roles[role])

    def execute(self, index: int, instruction: Instruction) -> Report:
        """Carry out an instruction; see `comal.engine.Backend`."""
        self._seconds = {}
        match instruction:
            case ProxStep():
                report = self._prox(instruction)
            case PlayOnline():
                report = self._play(instruction)
            case Copy():
                report = Report()
            case Certify():
                report = self._certify(index, instruction)
            case ExactOnly():
                raise AssertionError(f"refuse_unsampleable lets no {type(instruction).__name__} through")
        self.journal.metrics["seconds"] = {k: round(v, 3) for k, v in self._seconds.items()}
        return report

    def replay(self, index: int, instruction: Instruction, report: Report) -> None:  # noqa: ARG002
        """Take up the roles that an instruction of an earlier process left."""
        self.journal.check(index, instruction)
        self.roles.advance(instruction)

    # The stages of a proximal step.

    def _prox(self, step: ProxStep) -> Report:
        folder = self.roles.folder_of_step
        prompts = prompts_of_step(self.prompts, self.roles.step, self.recipe.sampling.prompts, self.recipe.seed)
        sampler = sampler_of(step)
        samples = self._sample(folder.samples, sampler, prompts)
        targets = self._targets(folder, step, sampler, samples)
        usable = np.isfinite(targets.win_rate).all(axis=1)
        if not usable.any():
            raise JudgeError("judge", f"no prompt of step {self.roles.step} got a verdict on all of its answers")
        monitored = self.recipe.training.held_out(len(prompts), int(usable.sum()))
        chosen = np.flatnonzero(usable)
        held_out, trained_on = chosen[:monitored], chosen[monitored:]
        new_logp = self._train(folder, step, samples, targets, trained_on, held_out)
        return self._measure(step, samples, targets, held_out, new_logp, int((~usable).sum()))

    def _sample(self, path: Path, mix: Mix, prompts: Sequence[Prompt]) -> Samples:
        with self._stage("sample"):
            sampler = None if path.is_file() else self.store.sampler(self._weights(self.roles.mixture(mix)))
            seed = derive_seed(self.recipe.seed, "sample", self.folder.name, self.roles.step, label(mix))
            return sample_once(path, sampler, prompts, self.recipe.sampling.samples, seed)

    def _targets(self, folder: StepFolder, step: ProxStep, sampler: Mix, samples: Samples) -> Targets:
        roles = list(step.scored)
        if not folder.targets.is_file():
            win_rate = self._judge(folder, step, samples)
            with self._stage("score"):
                start = self.roles[POLICY]
                by_checkpoint = {
                    checkpoint: score(self.store.scorer(self.roles.path(checkpoint)), samples)
                    for checkpoint in dict.fromkeys([start, *(self.roles[role] for role in roles)])
                }
                drawn_by = self.roles.mixture(sampler)
                sampler_logp = by_checkpoint.get(next(iter(drawn_by))) if len(drawn_by) == 1 else None
                if sampler_logp is None:
                    sampler_logp = score(self._scorer(drawn_by), samples)
                columns = {"answer_id": [a for group in samples.answer_ids() for a in group]}
                columns |= {"win_rate": list(win_rate.ravel()), "policy_logp": list(by_checkpoint[start].ravel())}
                columns["sampler_logp"] = list(sampler_logp.ravel())
                columns |= {f"logp_{role}": list(by_checkpoint[self.roles[role]].ravel()) for role in roles}
                on_main(lambda: write_table(folder.targets, columns))
        table = read_table(folder.targets)
        shape = (len(samples.prompts), -1)

        def column(name: str) -> NDArray[np.float64]:
            return np.array(table[name], dtype=np.float64).reshape(shape)

        return Targets(
            column("policy_logp"), column("sampler_logp"), {r: column(f"logp_{r}") for r in roles}, column("win_rate")
        )

    def _judge(self, folder: StepFolder, step: ProxStep, samples: Samples) -> NDArray[np.float64]:
        """Win rate of every sample against the step's opponents."""
        total = np.zeros((len(samples.prompts), self.recipe.sampling.samples))
        for number, (weight, mix) in enumerate(step.opponent.terms):
            self_play = meets_itself(step, mix, self.roles)
            opponents = None
            if not self_play:
                opponents = self._sample(folder.opponent(label(mix)), mix, samples.prompts)
            judged = self._ask(folder.verdicts(number), samples, opponents, self._design(number))
            if isinstance(step, StackelbergStep):
                rates = np.stack([rates_against_replies(table, step.follower_tau) for table in judged.tables])
            else:
                rates = self._rates(judged, self_play, self.loss.needs_unbiased_rates)
            total += weight * rates
        return total

    def _rates(self, judged: Judged, self_play: bool, unbiased: bool = False) -> NDArray[np.float64]:
        """The payoffs of the game that is played: win rates, or how often an answer is preferred to several."""
        if self.users is None:
            return target_win_rates(judged, self_play, unbiased)
        return draw_win_rates(judged, self.users, self.recipe.answers_shown, self_play, unbiased)

    def _design(self, number: int) -> Design | None:
        """Which pairs a proximal step asks about its opponent `number`; None: all."""
        degree = self.recipe.sampling.degree
        seed = derive_seed(self.recipe.seed, "design", self.folder.name, self.roles.step, number)
        return None if degree is None else Design(degree, seed)

    def _ask(self, path: Path, samples: Samples, opponents: Samples | None, design: Design | None) -> Judged:
        asker = self.users or self.oracle
        before = asker.stats
        with self._stage("judge"):
            judged = judge_once(path, asker, samples, opponents, design)
        asked = asker.stats - before
        for name in ("judge_calls", "cache_hits"):
            self.journal.metrics[name] = self.journal.metrics.get(name, 0) + getattr(asked, name)
        return judged

    def _train(
        self,
        folder: StepFolder,
        step: ProxStep,
        samples: Samples,
        targets: Targets,
        trained_on: NDArray[np.int64],
        held_out: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Train and save the checkpoint; returns its log-probabilities of the held-out prompts' samples."""
        if not folder.is_trained:
            with self._stage("train"):
                start = self.roles.path(self.roles[POLICY])
                model = self._trainable(start)
                pad = self.store.policy_of(model).pad_token
                trained, trainer = train_prox(
                    model,
                    self._groups(folder, step, samples, targets, trained_on),
                    self.loss,
                    step.eta,
                    self._trainer_setup(folder),
                    pad,
                    step.forward if isinstance(step, ForwardKLStep) else 0.0,
                )
                if save_step(trainer, folder, self.store, self.recipe.training.keep_optimizer):
                    self.store.adopt(model, folder.checkpoint)
                else:
                    self.store.abandon()
                del model
            with self._stage("measure"):
                part = Samples(
                    tuple(samples.prompts[i] for i in held_out), tuple(samples.completions[i] for i in held_out)
                )
                scored = score(self.store.scorer(folder.checkpoint), part) if len(held_out) else np.zeros((0, 0))
                values = {
                    "loss": trained.loss,
                    "start_gap": trained.start_gap,
                    "optimizer_steps": trained.optimizer_steps,
                    "held_out_logp": scored.tolist(),
                }
                on_main(lambda: folder.write_trained(values))
        values = folder.trained()
        self.journal.metrics |= {k: values[k] for k in ("loss", "start_gap", "optimizer_steps")}
        return np.array(values["held_out_logp"], dtype=np.float64)

    def _self_play_tables(self, folder: StepFolder, step: ProxStep, samples: Samples) -> list[Table | None]:
        """The samples' verdicts on each other, where they are the whole payoff and none that was asked is missing."""
        compared = self.users is None  # the label of a pair says nothing of several answers
        if not compared or len(step.opponent.terms) > 1 or sampler_of(step) != step.opponent.terms[0][1]:
            return [None] * len(samples.prompts)
        judged = judge_once(folder.verdicts(0), self.oracle, samples, None, self._design(0))
        return [
            table if np.isfinite(table[asked]).all() else None
            for table, asked in zip(judged.tables, judged.asked, strict=True)
        ]

    def _groups(
        self, folder: StepFolder, step: ProxStep, samples: Samples, targets: Targets, chosen: NDArray[np.int64]
    ) -> list[Group]:
        random = self.recipe.training.pairing == "random"
        tables = self._self_play_tables(folder, step, samples) if random else []
        encoder, recipe = self.store.encoder, self.recipe
        return training_groups(samples, targets, step, chosen, tables, encoder, recipe, self.roles.step)

    def _trainer_setup(self, folder: StepFolder) -> TrainerSetup:
        """What the step that writes to `folder` begins its training with."""
        recipe, step = self.recipe, self.roles.step
        return TrainerSetup(
            recipe.training.for_step(step, recipe.steps),
            derive_seed(recipe.seed, "train", self.folder.name, step),
            folder.trainer,
            self._optimizer_state(),
            self.shares_batches,
        )

    def _optimizer_state(self) -> OptimizerState | None:
        if not self.recipe.training.keep_optimizer or self.roles[POLICY] == INITIAL:
            return None
        return optimizer_state(self.roles.folder_of(self.roles[POLICY]), self._sharded)

    def _trainable(self, start: str | Path) -> Any:
        arguments = self.recipe.training.arguments
        if self.store.batching.in_shards and begins_in_shards(arguments):
            return self.store.trainable_in_shards(start, bool(arguments.get("bf16")))
        return self.store.trainable(start, alone=self._sharded)

    @property
    def _sharded(self) -> bool:
        return asked_sharding(self.recipe.training.arguments) is not None

    def _measure(
        self,
        step: ProxStep,
        samples: Samples,
        targets: Targets,
        held_out: NDArray[np.int64],
        new_logp: NDArray[np.float64],
        dropped: int,
    ) -> Report:
        """How far the step moved, on prompts it was not trained on."""
        metrics = self.journal.metrics
        metrics |= {
            "step": self.roles.step,
            "mean_tokens": samples.mean_tokens,
            "unfinished": samples.unfinished,
            "dropped_prompts": dropped,
            "comparisons": self._pairs(step),
        }
        moved = measure_movement(targets, step, held_out, new_logp)
        metrics |= {k: v for k, v in (("slope", moved.slope), ("kl_moved", moved.kl_moved)) if v is not None}
        return Report(kl_moved=moved.kl_moved, kl_reference=moved.kl_reference)

    # An online step.

    def _play(self, play: PlayOnline) -> Report:
        """Train and save a checkpoint in one go: a kill repeats all of it, with the verdicts that were kept."""
        folder = self.roles.folder_of_step
        if not folder.is_trained:
            with self._stage("train"):
                folder.write_trained(self._trained_online(folder, play))
            self._seconds["train"] -= self._seconds.get("judge", 0.0)  # which took its time inside
        values = folder.trained()
        kl_reference = values.pop("kl_reference")
        self.journal.metrics |= values
        return Report(kl_reference=kl_reference)

    def _trained_online(self, folder: StepFolder, play: PlayOnline) -> dict[str, Any]:
        from comal.pipeline.step.online import play_online

        folder.remove_updates()
        count, seed = self.recipe.sampling.prompts, self.recipe.seed
        first = self.roles.step * play.updates
        prompts = [p for u in range(first, first + play.updates) for p in prompts_of_step(self.prompts, u, count, seed)]
        model = self.store.trainable(self.roles.path(self.roles[play.out]))

        def judge(update: int, samples: Samples) -> NDArray[np.float64]:
            samples.save(folder.samples_of_update(update))
            design = self._design(update)
            judged = self._ask(folder.verdicts_of_update(update), samples, None, design)
            self.progress.stage("train", self.roles.step)
            return self._rates(judged, self_play=True, unbiased=True)

        rewards, trainer = play_online(
            play,
            self.store.policy_of(model),
            self.store.open(self._path(play.reference)),
            prompts,
            judge,
            self.recipe,
            self._trainer_setup(folder),
        )
        save_step(trainer, folder, self.store, self.recipe.training.keep_optimizer)
        self.store.abandon()
        return {
            "step": self.roles.step,
            "mean_tokens": float(np.mean(rewards.mean_tokens)),
            "unfinished": float(np.mean(rewards.unfinished)),
            "dropped_prompts": rewards.dropped,
            "comparisons": self._pairs(play),
            "optimizer_steps": play.updates,
            "kl_reference": rewards.kl_reference[-1],
        }

    # The sampled certificate.

    def _certify(self, index: int, instruction: Certify) -> Report:
        """Sample and judge what `sampled_certificate` is computed from."""
        folder = MethodFolder(self.folder).certificate(index)
        prompts = prompts_of_step(self.prompts, self.roles.step, self.recipe.sampling.prompts, self.recipe.seed)
        policy = self._sample(folder.policy, only(instruction.policy), prompts)
        reference = self._sample(folder.reference, only(instruction.reference), prompts)
        # All pairs: noise of an unbiased win rate is a bias of its exponential.
        judged = self._ask(folder.verdicts, reference, policy, None)
        rates = self._rates(judged, self_play=False)
        with self._stage("score"):
            logp = score(self.store.scorer(self._path(instruction.policy)), policy)
            logp_reference = score(self.store.scorer(self._path(instruction.reference)), policy)
        usable = np.isfinite(rates).all(axis=1)
        if not usable.any():
            raise JudgeError("judge", f"no prompt of certificate {index} got a verdict on all of its answers")
        even = 1 / (self.recipe.answers_shown + 1)
        found = sampled_certificate(logp[usable], logp_reference[usable], rates[usable], instruction.tau, even)
        self.journal.metrics |= {"certificate": found.kl_best_response, "comparisons": self._pairs(instruction)}
        if found.stderr is not None:
            self.journal.metrics["certificate_stderr"] = found.stderr
        return Report(
            kl_reference=found.kl_reference,
            kl_best_response=found.kl_best_response,
            kl_best_response_stderr=found.stderr,
        )

    def _pairs(self, instruction: Instruction) -> int:
        return cost_of(instruction, self.roles, self.recipe.sampling).pairs

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        self.progress.stage(name, self.roles.step)
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - started
