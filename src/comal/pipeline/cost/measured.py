"""Unit costs of a recipe on this machine, by the run's own sampler, judge, scorer and trainer."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path

import numpy as np
import torch

from comal.algorithms.base import POLICY, ProxStep, against, only
from comal.evaluation.exploitability.adversaries import head_to_head
from comal.judges.asking.oracle import Oracle
from comal.judges.base import Judge
from comal.pipeline.cost.clock import Clock, Seconds, taken
from comal.pipeline.cost.peak import Peak, begin_peak, peak
from comal.pipeline.cost.start import Lengths, Start, cycled, prepare, supposed
from comal.pipeline.cost.unit_cost import UnitCost, measure
from comal.pipeline.cost.work import Known, Unit
from comal.pipeline.disk.files import remove_folder, size_of
from comal.pipeline.disk.layout import SupervisedFolder
from comal.pipeline.disk.method_folder import MethodFolder, StepFolder, step_name
from comal.pipeline.processes.garbage import young_garbage_only
from comal.pipeline.run.resolved import ResolvedRecipe
from comal.pipeline.step.checkpoint import optimizer_state, save_step
from comal.pipeline.step.fits import refuse_unsampleable
from comal.pipeline.step.samples import Samples, sample_once, score
from comal.pipeline.step.targets import Targets, training_groups
from comal.pipeline.step.verdicts import Design, judge_once
from comal.pipeline.training.batches import batch_of
from comal.pipeline.training.supervised import train_supervised, with_own_adapter
from comal.pipeline.training.trainers import TrainerSetup, train_prox
from comal.policies import door
from comal.policies.base import Prompt, derive_seed
from comal.policies.engines.base import Sampler
from comal.policies.engines.outside.running import close_engine, spent
from comal.policies.loading import load_causal_lm
from comal.policies.store import PolicyStore
from comal.policies.transformers import TransformersPolicy
from comal.recipes.settings import SupervisedSettings

A_STAGE = 6.0
"""Seconds after which no further round of a stage is begun: all of them together take about a minute, unless a single
batch takes longer."""

_ROUNDS = 3  # micro-batches of a larger call
_JUDGED = 32  # prompts whose answers are judged at once, at most
_SLOW = 1.0  # seconds for the answers to one prompt: a judge is asked about few


@dataclass(frozen=True, slots=True)
class Measured:
    """What a calibration found.

    Attributes:
        costs: seconds by unit; a unit that was not measured is not in it.
        lengths: of the answers that scoring, training and judging were measured with.
        prompt_bytes: mean length of the prompts, in UTF-8.
        known: how many prompts, pairs and classes of these answers there are.
        checkpoint_bytes: of a step's checkpoint.
        optimizer_bytes: of the optimiser's state beside it; 0 where none is kept.
        table_bytes: of a step's other files, for an answer.
        memory: the most that was held at any time, bytes.
        engine_bytes: the same of an engine that is a process of its own, of the machine's memory; None without one.
    """

    costs: Mapping[Unit, UnitCost]
    lengths: Lengths
    prompt_bytes: float
    known: Known
    checkpoint_bytes: int
    optimizer_bytes: int
    table_bytes: float
    memory: Peak
    engine_bytes: int | None = None


def measured(
    resolved: ResolvedRecipe, folder: Path, clock: Clock, ask_judge: bool = False, seconds: float = A_STAGE
) -> Measured:
    """Measure a recipe's stages one after another.

    Args:
        resolved: the recipe.
        folder: an empty one for what the stages write.
        clock: tells the time.
        ask_judge: whether a judge that costs something for each call may be asked a few questions.
        seconds: for a stage.

    Raises:
        ComalError: as of `prepare`, or whatever stops a run, such as an engine that is not installed.
    """
    start = prepare(folder, resolved.recipe)
    with _engine_beside(start.store):
        return _Bench(resolved, folder, clock, seconds, start).all(ask_judge)


@contextlib.contextmanager
def _engine_beside(store: PolicyStore) -> Iterator[None]:
    """An engine of a process of its own ends with the measurements; where it fails its log stays, which is named."""
    if not store.drawing.engine.outside:
        yield
        return
    store.drawing.engine.require()
    handle, name = tempfile.mkstemp(prefix="comal-calibrate-", suffix=".log")
    os.close(handle)
    store.drawing = dataclasses.replace(store.drawing, log=Path(name))
    try:
        yield
    finally:
        close_engine()
    Path(name).unlink()


@dataclass
class _Bench:
    resolved: ResolvedRecipe
    folder: Path
    clock: Clock
    seconds: float
    start: Start
    costs: dict[Unit, UnitCost] = field(default_factory=dict)
    sizes: dict[str, float] = field(default_factory=dict)
    _numbers: count[int] = field(default_factory=count)
    prompts: list[Prompt] = field(init=False)

    def __post_init__(self) -> None:
        self.recipe = self.resolved.recipe
        self.store = self.start.store
        self.K = self.recipe.sampling.samples
        self.method = MethodFolder(self.folder / "method")
        sampling, training = self.recipe.sampling, self.recipe.training
        batches = (
            sampling.batch_size // self.K,
            training.log_prob_batch // self.K,
            _ROUNDS * batch_of(training).at_once,
        )
        self.prompts = cycled(self.start.splits.train, min(sampling.prompts, max(_JUDGED, *batches)))
        self.distinct = min(len(self.prompts), len(self.start.splits.train))

    def all(self, ask_judge: bool) -> Measured:
        """Measure everything; the order is that in which a run comes to it."""
        begin_peak()
        self._supervised()
        with young_garbage_only():  # as methods are run
            return self._method(ask_judge)

    def _method(self, ask_judge: bool) -> Measured:
        policy, opened = self._opened(self.store.initial)
        sampler = self.store.sampler(self.store.initial)
        checked = taken(self.clock, lambda: sampler.check(self.prompts))  # an engine's start is in it
        samples, lengths = self._sampled("start's answer", sampler)
        self._scored("answer scored by the start", policy, samples)
        last = self._trained(samples)
        trained = self._again(last.checkpoint)
        self._sampled("answer", trained, samples if lengths.source == "supervised" else None)
        self._scored("scored answer", trained.scorer, samples)
        self._judged(samples, ask_judge)
        self._first(opened + checked)
        return Measured(
            self.costs,
            lengths,
            float(np.mean([len(prompt.text.encode()) for prompt in self.prompts])),
            self._known(samples),
            size_of(last.checkpoint),
            size_of(last.optimizer) if last.optimizer.exists() else 0,
            2 * self.sizes["drawn"] + self.sizes.get("judged", 0.0),  # targets are about as large as answers
            peak(),
            spent().held if self.resolved.engine.outside else None,
        )

    def _known(self, samples: Samples) -> Known:
        classify, evaluation, splits = self.resolved.classify, self.recipe.evaluation, self.start.splits
        return Known(
            len(self.start.pairs),
            min(evaluation.validation_prompts, len(splits.validation)),
            min(evaluation.test_prompts, len(splits.test)),
            0 if classify is None else len({classify(text) for group in samples.texts for text in group}),
        )

    def _first(self, opening: Seconds) -> None:
        """What every process pays once, on top of its start: the first call of each stage, and the first policy."""
        stages: tuple[Unit, ...] = ("start's answer", "answer scored by the start", "prompt", "pair")
        once = sum((self.costs[unit].first for unit in stages if unit in self.costs), opening)
        self.costs["process"] = UnitCost(once)

    # Policies.

    def _opened(self, checkpoint: str | Path) -> tuple[TransformersPolicy, Seconds]:
        found: list[TransformersPolicy] = []
        seconds = taken(self.clock, lambda: found.append(self.store.open(checkpoint)))
        return found[0], seconds

    def _again(self, checkpoint: Path) -> Sampler:
        """A checkpoint that is read and checked as one that a run comes back to."""

        def reopen(_: int) -> None:
            self.store.forget(checkpoint)
            self.store.open(checkpoint)

        self.costs["opened policy"] = measure(reopen, (1, 1), self.clock, seconds=self.seconds)
        policies: cycle[str | Path] = cycle([checkpoint, self.store.initial])

        def check(_: int) -> None:
            if self.resolved.engine.outside:  # what it holds is known to it: another one has to be read
                self.store.sampler(next(policies)).check(self.prompts)
                return
            policy = self.store.open(checkpoint)
            policy.agreement = None
            door.once(policy, self.prompts)

        self.costs["checked policy"] = measure(check, (1, 1), self.clock, seconds=self.seconds)
        sampler = self.store.sampler(checkpoint)
        sampler.check(self.prompts)
        return sampler

    # Stages.

    def _sampled(self, unit: Unit, sampler: Sampler, like: Samples | None = None) -> tuple[Samples, Lengths]:
        """Measure the drawing of answers; returns what the other stages are given, and how long its answers are.

        Args:
            unit: what it is the cost of.
            sampler: draws.
            like: answers as long as which are drawn; None: as they end themselves, where they do.
        """
        policy, at_once = sampler.scorer, max(1, self.recipe.sampling.batch_size // self.K)
        whole = min(at_once, self.recipe.sampling.prompts)
        taught = supposed(policy, self.start.pairs, self.prompts, self.K) if self.start.pairs else None
        like = like or taught
        decoding = policy.decoding
        if like is not None:  # a batch is drawn until its longest answer ends
            drawn_at_once = [c for group in like.completions[:whole] for c in group]
            longest = max(1, *(len(c.token_ids) for c in drawn_at_once))
            policy.decoding = dataclasses.replace(decoding, max_new_tokens=longest)
        drawn: list[Samples] = []

        def draw(answers: int) -> None:
            some = self.prompts[: max(1, answers // self.K)]
            folder = self._folder()
            drawn.append(sample_once(folder.samples, sampler, some, self.K, len(drawn)))
            self.sizes["drawn"] = size_of(folder.samples) / (len(some) * self.K)

        sizes = (max(1, whole // 2) * self.K, whole * self.K)
        self.costs[unit] = measure(draw, sizes, self.clock, seconds=self.seconds, at_once=at_once * self.K)
        policy.decoding = decoding
        if taught is not None:
            return taught, Lengths.of(taught, "supervised")
        own = max(drawn, key=lambda samples: len(samples.prompts))
        self.distinct = min(self.distinct, len(own.prompts))
        needed = len(self.prompts)
        given = Samples(tuple(cycled(own.prompts, needed)), tuple(cycled(own.completions, needed)))
        return given, Lengths.of(own, "drawn")

    def _scored(self, unit: Unit, policy: TransformersPolicy, samples: Samples) -> None:
        at_once = max(1, policy.score_batch // self.K)
        whole = min(at_once, len(samples.prompts))

        def run(answers: int) -> None:
            score(policy, _first_prompts(samples, answers // self.K))

        sizes = (max(1, whole // 2) * self.K, whole * self.K)
        self.costs[unit] = measure(run, sizes, self.clock, seconds=self.seconds, at_once=at_once * self.K)

    def _trained(self, samples: Samples) -> StepFolder:
        """Measure training; returns the folder of the last step."""
        recipe = self.recipe
        settings, prompts = recipe.training.model_copy(update={"epochs": 1.0}), recipe.sampling.prompts
        batch = batch_of(settings)
        a_step = prompts - settings.held_out(prompts)
        large = min(_ROUNDS * batch.at_once, a_step)
        small = min(batch.at_once, large)
        samples = _first_prompts(samples, large)
        eta = next(i.eta for i in refuse_unsampleable(self.resolved.algorithm, "algorithm") if isinstance(i, ProxStep))
        logp = score(self.store.open(self.store.initial), samples)
        rates = np.random.default_rng(recipe.seed).random(logp.shape)
        targets = Targets(logp, logp, {POLICY: logp}, rates)
        plain = ProxStep(only(POLICY), against(POLICY), eta)
        groups = training_groups(samples, targets, plain, np.arange(large), [], self.store.encoder, recipe, 0)
        pad = self.store.open(self.store.initial).pad_token
        last: list[StepFolder] = []

        def step(prompts: int) -> None:
            folder = self._folder()
            before = last[-1] if last else None
            model = self.store.trainable(self.store.initial if before is None else before.checkpoint)
            carried = None if before is None or not settings.keep_optimizer else optimizer_state(before, sharded=False)
            setup = TrainerSetup(settings, derive_seed(recipe.seed, len(last)), folder.trainer, carried)
            _, trainer = train_prox(model, groups[:prompts], self.resolved.loss, eta, setup, pad)
            save_step(trainer, folder, self.store, settings.keep_optimizer)
            self.store.adopt(model, folder.checkpoint)
            if before is not None:
                remove_folder(before.path)
            last.append(folder)

        self.costs["prompt"] = measure(step, (small, large), self.clock, seconds=self.seconds)
        return last[-1]

    def _supervised(self) -> None:
        settings, policy, pairs = self.recipe.supervised, self.recipe.policy, self.start.pairs
        if settings is None:
            return
        dtype = getattr(torch, policy.dtype)
        model = load_causal_lm(self.store.initial, dtype, policy.revision, policy.trust_remote_code)
        model = with_own_adapter(model, policy, self.recipe.seed)

        def train(rows: int, keep: bool = False) -> None:
            output = SupervisedFolder(self._folder().path / "taught").state
            update: dict[str, object] = {"epochs": 1.0, "temperature": 1.0}
            update["arguments"] = settings.arguments | ({"save_steps": 1} if keep else {"save_strategy": "no"})
            once: SupervisedSettings = settings.model_copy(update=update)
            train_supervised(
                model, self.store.encoder, pairs[:rows], once, policy, seed=self.recipe.seed, output=output
            )
            remove_folder(output)

        rows = batch_of(settings).rows
        large = min(4 * rows, len(pairs))
        self.costs["row"] = measure(train, (min(rows, large), large), self.clock, seconds=self.seconds)
        alone = [taken(self.clock, lambda: train(min(rows, large))) for _ in range(2)]
        kept = [taken(self.clock, lambda: train(min(rows, large), keep=True)) for _ in range(2)]
        spent = (sum(kept, Seconds()) - sum(alone, Seconds())) * 0.5
        self.costs["checkpoint"] = UnitCost(spent.not_below_zero())

    def _judged(self, samples: Samples, ask_judge: bool) -> None:
        """Measure verdicts as training and evaluations ask for them; a judge that is paid for each only if told to."""
        recipe = self.recipe
        degree = recipe.sampling.degree
        design = None if degree is None else Design(degree, recipe.seed)
        pairs = self.K * (degree or self.K - 1) // 2

        def ask(oracle: Oracle, prompts: int) -> None:
            file = self._folder().verdicts(0)
            judge_once(file, oracle, _first_prompts(samples, prompts), None, design)
            self.sizes["judged"] = size_of(file) / (prompts * self.K)

        if ask_judge or not _metered(self.resolved.judge):
            oracle = Oracle(self.resolved.judge, None, recipe.sampling.max_failure_rate)
            self.costs["pair"] = self._asked(lambda prompts: ask(oracle, prompts), pairs)
        if not ask_judge and _metered(self.resolved.evaluation_judge):
            return
        texts, half = samples.texts, self.K // 2
        ours, theirs = [group[:half] for group in texts], [group[half:] for group in texts]
        evaluating = Oracle(self.resolved.evaluation_judge, None, recipe.sampling.max_failure_rate)

        def evaluate(prompts: int) -> None:
            shown = [prompt.text for prompt in samples.prompts[:prompts]]
            head_to_head(evaluating, shown, ours[:prompts], theirs[:prompts])

        self.costs["evaluated pair"] = self._asked(evaluate, half * (self.K - half))

    def _asked(self, ask: Callable[[int], None], pairs: int) -> UnitCost:
        """The cost of a pair, where the judge is asked about so many for a prompt."""
        first = taken(self.clock, lambda: ask(1))
        one = taken(self.clock, lambda: ask(1))
        whole = min(_JUDGED if one.wall < _SLOW else 2, self.distinct)  # an oracle asks nothing twice
        found = measure(
            lambda units: ask(units // pairs), (max(1, whole // 4) * pairs, whole * pairs), self.clock,
            seconds=self.seconds,
        )  # fmt: skip
        return dataclasses.replace(found, first=(first - one).not_below_zero())

    # Files.

    def _folder(self) -> StepFolder:
        folder = self.method.step(step_name(next(self._numbers)))
        folder.path.mkdir(parents=True)
        return folder


def _first_prompts(samples: Samples, prompts: int) -> Samples:
    return Samples(samples.prompts[:prompts], samples.completions[:prompts])


def _metered(judge: Judge) -> bool:
    return judge.spend_bound(1, 1, 1) is not None


def device() -> str:
    """Of the models: `cpu`, or the accelerator's name."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
