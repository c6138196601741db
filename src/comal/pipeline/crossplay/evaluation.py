"""`comal eval`: sample what has to be sampled, ask the judge, write the figures; every part is kept and taken up again.

A folder of an evaluation holds

    eval.json              what was evaluated
    samples/NAME-DIGEST/   answers of a model, a block of prompts a file; the digest is of all that they depend on
    verdicts.sqlite        verdicts
    outputs/NAME.json      answers in AlpacaEval's format, one file a policy
    annotations.json       verdicts in AlpacaEval's format
    leaderboard.csv        figures against the baseline under AlpacaEval's column names
    matrix.csv             win rates, for `comal solve`
    door.json              how well sampler and scorer of each model agree
    result.json            all figures
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import filelock
import numpy as np
from numpy.typing import NDArray

import comal
from comal.errors import ConfigError, RunError
from comal.evaluation.crossplay.alpaca_eval import annotation_rows, leaderboard_csv, matrix_csv, output_rows
from comal.evaluation.crossplay.crossplay import cross_play
from comal.evaluation.crossplay.summary import summarise
from comal.evaluation.intervals import Bootstrap
from comal.judges.asking.oracle import Oracle
from comal.judges.base import Judge
from comal.pipeline.crossplay.prompts import find_prompts, warn_of_training
from comal.pipeline.crossplay.settings import EvalSettings
from comal.pipeline.crossplay.sources import (
    Model,
    OutputFile,
    Source,
    Stores,
    find_model,
    find_sources,
)
from comal.pipeline.disk.files import atomic_path, clear_temporaries, read_json, write_json
from comal.pipeline.processes.distributed import on_main, state
from comal.pipeline.run.door import keep
from comal.pipeline.step.samples import Samples, sample_once, score
from comal.plugins import describe
from comal.policies.base import Prompt, derive_seed
from comal.policies.transformers import TransformersPolicy

FORMAT = 1
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
        notes: list[str] = []
        prompts = find_prompts(settings, sources, notes.append)
        given = settings.sampling
        options = {} if given.system_prompt is None else {"system_prompt": given.system_prompt}
        decoding = given.model_dump(include={"temperature", "top_p", "max_new_tokens", "batch_size"})
        found = cls(settings, judge, prompts, sources, baseline, Stores(decoding, options), notes)
        for source in sources:
            if isinstance(source, Model):
                found.stores.store(source).encoder.require(prompts)
        warn_of_training(sources, prompts, judge, notes.append)
        return found

    @property
    def digest(self) -> str:
        """A name for all that the figures depend on."""
        return _digest([self.settings.model_dump(mode="json"), self.judge.fingerprint()])

    def run(self, folder: Path, progress: EvalProgress) -> dict[str, Any]:
        """Do what is left to do in `folder`; returns the content of result.json.

        Raises:
            RunError: the folder holds something else, or is in use.
            ComalError: a model or the judge cannot be used.
        """
        if not state().is_main_process:
            state().wait_for_everyone()
            self._answers(folder, progress)
            return {}
        _claim(folder)
        lock = _lock(folder)
        try:
            clear_temporaries(folder)
            marker = {"format": FORMAT, "comal": comal.__version__, "settings": self.settings.model_dump(mode="json")}
            write_json(folder / "eval.json", marker | {"judge": describe(self.judge)})
            state().wait_for_everyone()
            answers, models = self._answers(folder, progress)
            return self._judge(folder, answers, models, progress)
        finally:
            lock.release()

    def _judge(
        self,
        folder: Path,
        answers: Mapping[str, list[list[str]]],
        models: Mapping[str, Mapping[str, Any]],
        progress: EvalProgress,
    ) -> dict[str, Any]:
        texts = [prompt.text for prompt in self.prompts]
        extra = {x: e for s in self.sources if isinstance(s, OutputFile) for x, e in s.outputs.extra.items()}
        for name, group in answers.items():
            write_json(folder / "outputs" / f"{_slug(name)}.json", output_rows(name, texts, group, extra))
        oracle = Oracle(self.judge, folder / "verdicts.sqlite", self.settings.max_failures)
        pairs = len(answers) * (len(answers) - 1) // 2
        done = iter(range(pairs))
        bootstrap = Bootstrap(self.settings.draws, seed=self.settings.seed)
        play = cross_play(
            oracle, texts, answers, bootstrap, lambda a, b: progress.judging(oracle, a, b, next(done), pairs)
        )
        progress.stage("computing intervals", 0, 1)
        summary = summarise(play, answers, self.baseline, self.settings.length_control)
        judge = describe(self.judge)
        base = play.policies.index(self.baseline)
        write_json(folder / "annotations.json", annotation_rows(play, answers, str(judge["name"]), base, extra))
        _write_text(folder / "leaderboard.csv", leaderboard_csv(summary.leaderboard))
        _write_text(folder / "matrix.csv", matrix_csv(play))
        result = {"format": FORMAT, "judge": judge} | summary.values
        result["policies"] = {
            source.name: {"source": source.origin}
            | summary.values["policies"][source.name]
            | models.get(source.name, {})
            for source in self.sources
        }
        result["prompts_digest"] = _digest(texts)
        result["notes"] = [*self.notes, *summary.notes]
        write_json(folder / "result.json", result)
        progress.stage("done", 1, 1)
        return result

    def _answers(
        self, folder: Path, progress: EvalProgress
    ) -> tuple[dict[str, list[list[str]]], dict[str, dict[str, Any]]]:
        """Everyone's answers, and what is known of models besides: tokens, unfinished answers, KL."""
        answers: dict[str, list[list[str]]] = {}
        models: dict[str, dict[str, Any]] = {}
        for source in self.sources:
            if isinstance(source, OutputFile):
                answers[source.name] = [list(source.outputs.answers[prompt.text]) for prompt in self.prompts]
                continue
            samples, place = self._sample(folder, source, progress)
            answers[source.name] = samples.texts
            models[source.name] = {
                "kl_reference": self._kl(place, source, samples, progress),
                "mean_tokens": samples.mean_tokens,
                "unfinished": samples.unfinished,
            }
        return answers, models

    def _sample(self, folder: Path, model: Model, progress: EvalProgress) -> tuple[Samples, Path]:
        given = self.settings.sampling
        depends_on = [model.identity(), given.model_dump(), self.settings.seed, [p.id for p in self.prompts]]
        place = folder / "samples" / f"{_slug(model.name)}-{_digest(depends_on)}"
        policy: TransformersPolicy | None = None
        completions: list[Any] = []
        for start in range(0, len(self.prompts), BLOCK):
            block = self.prompts[start : start + BLOCK]
            path = place / f"{start:06d}.parquet"
            progress.stage(f"sampling {model.name}", start, len(self.prompts))
            if policy is None and not path.is_file():
                policy = self.stores.store(model).open(model.checkpoint)
            # Not by name: a policy's answers stay when it is called something else.
            seed = derive_seed(self.settings.seed, "eval", json.dumps(model.identity()), start)
            completions += sample_once(path, policy, block, given.answers, seed).completions
        keep(folder, model.name, policy)
        return Samples(tuple(self.prompts), tuple(completions)), place

    def _kl(self, place: Path, model: Model, samples: Samples, progress: EvalProgress) -> dict[str, Any] | None:
        """KL(policy || reference), from the policy's own samples; None, with a note, where it has no meaning."""
        reference = self._reference(model)
        if reference is None:
            return None
        path = place / f"kl-{_digest(reference.identity())}.json"
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
        return bootstrap.of_mean(ratios.mean(axis=1)).to_json() | {"reference": reference.name}

    def _reference(self, model: Model) -> Model | None:
        if self.settings.reference is not None:
            return find_model(self.settings.reference, "--reference")
        return None if model.run is None else find_model(f"{model.run}:start", "--reference")


def _claim(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise RunError(str(folder), "this is a file, not a folder; choose another --output-dir")
    if folder.is_dir() and not (folder / "eval.json").is_file():
        foreign = [p for p in folder.iterdir() if p.name != ".lock" and not p.name.startswith(".eval.json.tmp-")]
        if foreign:
            raise RunError(str(folder), "the folder is not empty and holds no evaluation; choose another --output-dir")
    folder.mkdir(parents=True, exist_ok=True)


def _lock(folder: Path) -> filelock.BaseFileLock:
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=5)
    except filelock.Timeout as error:
        raise RunError(str(folder), "another process is working in this folder; wait for it to end") from error
    return lock


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def _slug(name: str) -> str:
    """A file name; names that would collide are told apart by a digest."""
    plain = re.sub(r"[^\w.@+-]", "_", name).lstrip(".") or "policy"
    return plain if plain == name else f"{plain}-{_digest(name)[:6]}"


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
