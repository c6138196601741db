"""`comal eval`: sample what has to be sampled, ask the judge, write the figures; every part is kept and taken up again.

What an evaluation leaves is in `comal.pipeline.disk.evaluation_folder`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import comal
from comal.errors import ConfigError
from comal.evaluation.crossplay.alpaca_eval import annotation_rows, leaderboard_csv, matrix_csv, output_rows
from comal.evaluation.crossplay.crossplay import cross_play
from comal.evaluation.crossplay.summary import summarise
from comal.evaluation.exploitability.scoreboard import Field
from comal.evaluation.exploitability.several import SeveralAnswers, show_several
from comal.evaluation.intervals import Bootstrap
from comal.judges.asking.oracle import Oracle
from comal.judges.asking.users import Users
from comal.judges.base import Judge
from comal.judges.population import Population
from comal.pipeline.crossplay.prompts import find_prompts, warn_of_training
from comal.pipeline.crossplay.result import Divergence, Drawn, Entrant, EvaluationResult, digest_of
from comal.pipeline.crossplay.settings import EvalSettings
from comal.pipeline.crossplay.sources import (
    Model,
    OutputFile,
    Source,
    Stores,
    find_model,
    find_sources,
)
from comal.pipeline.disk.claim import claim
from comal.pipeline.disk.evaluation_folder import EvaluationFolder, SamplesFolder
from comal.pipeline.disk.files import read_json, write_json, write_text
from comal.pipeline.disk.work_folder import FORMAT
from comal.pipeline.processes.distributed import on_main, state
from comal.pipeline.run.door import keep
from comal.pipeline.step.samples import Samples, sample_once, score
from comal.plugins import describe
from comal.policies.base import Prompt, derive_seed
from comal.policies.encoder import PromptFormat
from comal.policies.engines.base import Sampler
from comal.policies.engines.outside.running import close_engine
from comal.resolve import resolve_classifier

USUAL_NUMBERS = (1, 2, 4, 8)
"""Of answers shown at once to the users of a population."""
_SHOWN, _CLASSES = "--answers-shown", "--classes"
BLOCK = 32
"""Prompts a file of samples: what a kill can cost of a policy's sampling."""


class EvalProgress(Protocol):
    """Whoever shows how far an evaluation is."""

    def stage(self, what: str, done: int, total: int) -> None:
        """`done` of `total` parts of `what` are done."""

    def judging(self, oracle: Oracle, first: str, second: str, done: int, total: int) -> None:
        """Two policies are about to be judged, after `done` of `total` pairs; `oracle.stats` grows meanwhile."""


@dataclass
class Evaluation:
    """One evaluation, everything of it looked up but nothing sampled or asked yet.

    Attributes:
        prompts: the prompts.
        sources: the policies.
        notes: what the reader must know.
    """

    settings: EvalSettings
    judge: Judge
    prompts: list[Prompt]
    sources: list[Source]
    baseline: str
    stores: Stores
    notes: list[str] = field(default_factory=list)

    @classmethod
    def prepare(cls, settings: EvalSettings, judge: Judge) -> Evaluation:
        """Find policies and prompts.

        Raises:
            ComalError: the first thing that is wrong with them.
        """
        sources = find_sources(list(settings.policies), settings.allow_empty)
        if len(sources) < 2:
            raise ConfigError(
                "policies",
                f"cross-play needs at least two policies, got {len(sources)}; name another one to compare with",
            )
        names = [source.name for source in sources]
        baseline = settings.baseline or names[0]
        if baseline not in names:
            raise ConfigError("--baseline", f"`{baseline}` is not one of the policies: {', '.join(names)}")
        judge.check()
        _refuse_unshowable(settings, judge)
        notes: list[str] = []
        prompts = find_prompts(settings, sources, notes.append)
        given = settings.sampling
        decoding = given.model_dump(include={"temperature", "top_p", "max_new_tokens", "batch_size"})
        stores = Stores(decoding, PromptFormat(system_prompt=given.system_prompt))
        found = cls(settings, judge, prompts, sources, baseline, stores, notes)
        for source in sources:
            if isinstance(source, Model):
                found.stores.store(source).encoder.require(prompts)
        warn_of_training(sources, prompts, judge, notes.append)
        return found

    @property
    def digest(self) -> str:
        """A name for all that the figures depend on."""
        return digest_of([self.settings.plain(), self.judge.fingerprint()])

    def run(self, folder: Path, progress: EvalProgress) -> EvaluationResult | None:
        """Do what is left to do in `folder`; returns the content of result.json, to the main process.

        Raises:
            RunError: the folder holds something else, or is in use.
            ComalError: a model or the judge cannot be used.
        """
        if not state().is_main_process:
            state().wait_for_everyone()
            self._answers(EvaluationFolder(folder), progress)
            return None
        own = EvaluationFolder(folder)
        marker = {"format": FORMAT, "comal": comal.__version__, "settings": self.settings.plain()}
        lock = claim(own, marker | {"judge": describe(self.judge)})
        try:
            state().wait_for_everyone()
            answers, drawn = self._answers(own, progress)
            return self._judge(own, answers, drawn, progress)
        finally:
            lock.release()
            close_engine()

    def _judge(
        self,
        folder: EvaluationFolder,
        answers: Mapping[str, list[list[str]]],
        drawn: Mapping[str, Drawn],
        progress: EvalProgress,
    ) -> EvaluationResult:
        texts = [prompt.text for prompt in self.prompts]
        extra = {x: e for s in self.sources if isinstance(s, OutputFile) for x, e in s.outputs.extra.items()}
        for name, group in answers.items():
            write_json(folder.outputs(_slug(name)), output_rows(name, texts, group, extra))
        oracle = Oracle(self.judge, folder.verdicts, self.settings.max_failures, spend_path=folder.spend)
        pairs = len(answers) * (len(answers) - 1) // 2
        done = iter(range(pairs))
        bootstrap = Bootstrap(self.settings.draws, seed=self.settings.seed)
        play = cross_play(
            oracle, texts, answers, bootstrap, lambda a, b: progress.judging(oracle, a, b, next(done), pairs)
        )
        progress.stage("computing intervals", 0, 1)
        summary = summarise(play, answers, self.baseline, self.settings.length_control)
        several = self._several(folder, texts, answers, progress)
        judge = describe(self.judge)
        base = play.policies.index(self.baseline)
        write_json(folder.annotations, annotation_rows(play, answers, str(judge["name"]), base, extra))
        write_text(folder.leaderboard, leaderboard_csv(summary.leaderboard))
        write_text(folder.matrix, matrix_csv(play))
        result = EvaluationResult(
            FORMAT,
            judge,
            {
                s.name: Entrant(s.origin, summary.policies[s.name], drawn.get(s.name), several.get(s.name))
                for s in self.sources
            },
            summary.figures,
            digest_of(texts),
            (*self.notes, *summary.notes),
        )
        folder.write_result(result.to_json())
        progress.stage("done", 1, 1)
        return result

    def _several(
        self,
        folder: EvaluationFolder,
        texts: list[str],
        answers: Mapping[str, list[list[str]]],
        progress: EvalProgress,
    ) -> dict[str, tuple[SeveralAnswers, ...]]:
        """What several answers at once of each policy are worth to the users of a population."""
        if not isinstance(self.judge, Population):
            return {}
        users = Users(self.judge, folder.verdicts, self.settings.max_failures, folder.spend)
        oracle = Oracle(self.judge, folder.verdicts, self.settings.max_failures, spend_path=folder.spend)
        classify = resolve_classifier(self.settings.classes, _CLASSES)
        every = [] if classify is None else sorted({classify(a) for g in answers.values() for b in g for a in b})
        field_ = Field(oracle, texts, (), classify, every, self.settings.seed)
        found = {}
        for number, name in enumerate(answers):
            progress.stage(f"showing several answers of {name}", number, len(answers))
            there = min(map(len, answers[name]))
            numbers = self.settings.answers_shown or tuple(k for k in USUAL_NUMBERS if k <= there)
            try:
                found[name] = show_several(field_, users, name, answers, {}, numbers)
            except ValueError as error:
                raise ConfigError(_SHOWN, f"{error}. Raise --answers, or show fewer") from error
        return found

    def _answers(
        self, folder: EvaluationFolder, progress: EvalProgress
    ) -> tuple[dict[str, list[list[str]]], dict[str, Drawn]]:
        """Everyone's answers, and what is known of models besides: tokens, unfinished answers, KL."""
        answers: dict[str, list[list[str]]] = {}
        drawn: dict[str, Drawn] = {}
        for source in self.sources:
            if isinstance(source, OutputFile):
                answers[source.name] = [list(source.outputs.answers[prompt.text]) for prompt in self.prompts]
                continue
            samples, place = self._sample(folder, source, progress)
            answers[source.name] = samples.texts
            kl = self._kl(place, source, samples, progress)
            drawn[source.name] = Drawn(kl, samples.mean_tokens, samples.unfinished)
        return answers, drawn

    def _sample(self, folder: EvaluationFolder, model: Model, progress: EvalProgress) -> tuple[Samples, SamplesFolder]:
        given = self.settings.sampling
        depends_on = [model.identity(), given.model_dump(), self.settings.seed, [p.id for p in self.prompts]]
        place = folder.samples(f"{_slug(model.name)}-{digest_of(depends_on)}")
        sampler: Sampler | None = None
        completions: list[Any] = []
        for start in range(0, len(self.prompts), BLOCK):
            block = self.prompts[start : start + BLOCK]
            path = place.block(start)
            progress.stage(f"sampling {model.name}", start, len(self.prompts))
            if sampler is None and not path.is_file():
                sampler = self.stores.store(model).sampler(model.checkpoint)
            # Not by name: a policy's answers stay when it is called something else.
            seed = derive_seed(self.settings.seed, "eval", json.dumps(model.identity()), start)
            completions += sample_once(path, sampler, block, given.answers, seed).completions
        keep(folder.path, model.name, sampler)
        return Samples(tuple(self.prompts), tuple(completions)), place

    def _kl(self, place: SamplesFolder, model: Model, samples: Samples, progress: EvalProgress) -> Divergence | None:
        """KL(policy || reference), from the policy's own samples; None, with a note, where it has no meaning."""
        reference = self._reference(model)
        if reference is None:
            return None
        path = place.kl(digest_of(reference.identity()))
        if not path.is_file():
            store, other = self.stores.store(model), self.stores.store(reference)
            decoding = store.decoding
            if decoding.temperature != 1 or decoding.top_p != 1:
                self.notes.append(
                    f"no KL of {model.name}: its answers are drawn at temperature {decoding.temperature:g}, top-p "
                    f"{decoding.top_p:g}, not from the policy itself (1 and 1)"
                )
                return None
            if store is not other and store.tokenizer.get_vocab() != other.tokenizer.get_vocab():
                self.notes.append(f"no KL of {model.name} to {reference.name}: they have different tokenizers")
                return None
            progress.stage(f"scoring {model.name}", 0, 1)
            own = score(store.open(model.checkpoint), samples)
            ratios: NDArray[np.float64] = own - score(other.open(reference.checkpoint), samples)
            on_main(lambda: write_json(path, ratios.tolist()))
        ratios = np.array(read_json(path), dtype=np.float64)
        bootstrap = Bootstrap(self.settings.draws, seed=self.settings.seed)
        return Divergence(bootstrap.of_mean(ratios.mean(axis=1)), reference.name)

    def _reference(self, model: Model) -> Model | None:
        if self.settings.reference is not None:
            return find_model(self.settings.reference, "--reference")
        return None if model.run is None else find_model(f"{model.run}:start", "--reference")


def _refuse_unshowable(settings: EvalSettings, judge: Judge) -> None:
    """Refuse what is about the users of a population, of a judge that is none; and a classifier that is not there.

    Raises:
        ConfigError: see above.
    """
    given = {_SHOWN: settings.answers_shown, _CLASSES: settings.classes}
    option = next((option for option, value in given.items() if value), None)
    if option is not None and not isinstance(judge, Population):
        raise ConfigError(
            option, f"is for the users of a `population`, and the judge is `{describe(judge)['name']}`; leave it out"
        )
    resolve_classifier(settings.classes, _CLASSES)


def _slug(name: str) -> str:
    """A file name; names that would collide are told apart by a digest."""
    plain = re.sub(r"[^\w.@+-]", "_", name).lstrip(".") or "policy"
    # File systems take 255 bytes, of which a temporary name and an ending need some.
    short = plain.encode()[:150].decode(errors="ignore")
    return short if short == name else f"{short}-{digest_of(name)[:6]}"
