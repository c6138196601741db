"""What can be entered in an evaluation: output files, models, and the policies of a run.

outputs.json           a file of model outputs in AlpacaEval's format (.json, .jsonl, also .gz); each generator enters
RUN                    a folder of `comal run`: its starting policy and every method's last one
RUN/comal, RUN:comal   one method's last policy; RUN/start is the starting one
RUN/comal@60           its policy after 60 proximal steps, where the run kept it
folder or hub id       a Transformers causal LM, or a folder with a PEFT adapter
NAME=any of these      the same under another name
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comal.errors import ComalError, DataError, PolicyError, RunError, near_match
from comal.evaluation.crossplay.alpaca_eval import Outputs, parse_outputs
from comal.evaluation.exploitability.scoreboard import START
from comal.judges.words.models import state_of
from comal.pipeline.data.prompts import PromptSplits, read_rows
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.run.resolved import method_names
from comal.pipeline.run.resources import open_store
from comal.policies.adapter_folder import is_adapter, read_adapter
from comal.policies.base import Prompt
from comal.policies.encoder import PromptFormat
from comal.policies.loading import require_base, require_folder
from comal.policies.store import ModelSource, PolicyStore
from comal.policies.transformers import Decoding
from comal.reading.paths import user_path
from comal.resolve import resolve_judge

_FILES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
_NAMED = re.compile(r"([\w.@+-]+)=(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class OutputFile:
    """Answers that are there already."""

    name: str
    path: str
    outputs: Outputs

    @property
    def origin(self) -> str:
        """Where it comes from."""
        return self.path


@dataclass(frozen=True, slots=True)
class Model:
    """A policy to sample from.

    Attributes:
        checkpoint: folder or hub id.
        run: the run it comes from.
        base: the model that an adapter outside a run belongs to.
        revision: of that model, where it is a hub id.
    """

    name: str
    checkpoint: str
    run: Path | None = None
    base: str | None = None
    revision: str | None = None

    @property
    def origin(self) -> str:
        """Where it comes from."""
        return self.checkpoint

    def identity(self) -> list[Any]:
        """What tells its answers from those of any other model, or of another state of its files."""
        revision = [] if self.revision is None else [self.revision]
        return [self.checkpoint, state_of(self.checkpoint), self.base, *revision]


Source = OutputFile | Model


@dataclass
class Stores:
    """Opens models; those of one run share one store.

    Attributes:
        decoding: settings that replace a run's own, and the defaults of other models.
        prompts: what models outside runs get to read.
    """

    decoding: dict[str, Any]
    prompts: PromptFormat
    _runs: dict[Path, PolicyStore] = field(default_factory=dict)
    _others: OrderedDict[Model, PolicyStore] = field(default_factory=OrderedDict)
    _before: PolicyStore | None = None

    def store(self, model: Model) -> PolicyStore:
        """The store that opens a model's checkpoint.

        Raises:
            PolicyError: it cannot be loaded.
        """
        chosen = self._store(model)
        # One that is sampled, one that KL is measured to; of whole models each holds one.
        for other in [*self._runs.values(), *self._others.values()]:
            if other is not chosen and other is not self._before:
                other.release()
        self._before = chosen
        return chosen

    def _store(self, model: Model) -> PolicyStore:
        if model.run is not None:
            if model.run not in self._runs:
                self._runs[model.run] = own = open_store(model.run, RunFolder(model.run).recipe())
                own.decoding = self._decoding(own.decoding)
                own.keep = own.keep if own.lora else 1
            return self._runs[model.run]
        if model not in self._others:
            self._others[model] = self._open(model)
        self._others.move_to_end(model)
        while len(self._others) > 2:
            self._others.popitem(last=False)
        return self._others[model]

    def _open(self, model: Model) -> PolicyStore:
        adapter = None if model.base is None else model.checkpoint
        source = ModelSource(model.base or model.checkpoint, model.revision, adapter=adapter)
        return PolicyStore(source, self.prompts, self._decoding(Decoding()))

    def _decoding(self, own: Decoding) -> Decoding:
        given = {k: v for k, v in self.decoding.items() if v is not None}
        return Decoding(
            **{k: given.get(k, getattr(own, k)) for k in ("temperature", "top_p", "max_new_tokens", "batch_size")}
        )


def find_sources(specs: list[str], allow_empty: bool) -> list[Source]:
    """All policies that the specifications name, in order.

    Raises:
        ComalError: something that is none of them, or two of one name.
    """
    found = [source for spec in specs for source in _find(spec, allow_empty)]
    seen: dict[str, Source] = {}
    for source in found:
        if source.name in seen:
            raise DataError(
                source.name,
                f"two policies have this name, `{seen[source.name].origin}` and `{source.origin}`; give one another "
                "name, NAME=SOURCE",
            )
        seen[source.name] = source
    return found


def find_model(spec: str, option: str) -> Model:
    """The one model that a specification names.

    Raises:
        PolicyError: it names output files or several models.
    """
    found = _find(spec, allow_empty=True)
    if len(found) != 1 or not isinstance(found[0], Model):
        raise PolicyError(
            option, f"need one model, `{spec}` is something else; name a model folder, a hub id or RUN/start"
        )
    return found[0]


def test_prompts(run: Path) -> list[Prompt]:
    """The prompts of a run's final evaluation.

    Raises:
        RunError: the run has not come to its data yet.
    """
    count = RunFolder(run).recipe().evaluation.test_prompts
    return list(_prompts(run).test[:count])


def training_prompts(run: Path) -> set[str]:
    """Texts of the prompts that a run is trained and watched on."""
    prompts = _prompts(run)
    return {p.text for p in (*prompts.train, *prompts.validation)}


def judge_of_training(runs: list[Path], fingerprint: str, note: Callable[[str], None]) -> list[Path]:
    """The runs that were trained on the judge of this fingerprint; `note` is told of those that cannot be asked."""
    same = []
    for run in runs:
        try:
            if _training_judge(run) == fingerprint:
                same.append(run)
        except ComalError as error:
            note(f"whether {run} was trained on this judge is not known: {error}")
    return same


def _training_judge(run: Path) -> str:
    return resolve_judge(RunFolder(run).recipe().judge, f"{run}: judge").fingerprint()


def _prompts(run: Path) -> PromptSplits:
    try:
        return RunFolder(run).prompts()
    except RunError as error:
        raise RunError(error.place, f"{error.problem}; name some with --prompts") from error


def _find(spec: str, allow_empty: bool) -> list[Source]:
    named = _NAMED.fullmatch(spec)
    name, what = (named[1], named[2]) if named and not Path(spec).exists() else (None, spec)
    if what.lower().endswith(_FILES):
        return _files(what, name, allow_empty)
    path = user_path(what)
    if RunFolder(path).is_marked:
        prefix = "" if name is None else f"{name}/"
        return [_policy(path, which, f"{prefix}{which}") for which in (START, *method_names(RunFolder(path).recipe()))]
    head, colon, tail = what.rpartition(":")
    if colon and RunFolder(user_path(head)).is_marked:
        return [_policy(user_path(head), tail, name or tail)]
    if RunFolder(path.parent).is_marked:
        return [_policy(path.parent, path.name, name or path.name)]
    if is_adapter(path):
        found = read_adapter(path)
        require_base(found)
        return [Model(name or path.name, str(path), base=found.base, revision=found.revision)]
    require_folder(what)
    return [Model(name or (path.name if path.is_dir() else what), str(path) if path.is_dir() else what)]


def _files(what: str, name: str | None, allow_empty: bool) -> list[Source]:
    path = user_path(what)
    if not path.is_file():
        near = near_match(path.name, [p.name for p in path.parent.glob("*")]) if path.parent.is_dir() else ""
        raise DataError(what, f"there is no such file of model outputs.{near}")
    stem = path.name[: -len(next(s for s in sorted(_FILES, key=len, reverse=True) if path.name.lower().endswith(s)))]
    systems = parse_outputs(read_rows(path), stem, allow_empty)
    if name is not None and len(systems) == 1:
        return [OutputFile(name, what, systems[0])]
    prefix = "" if name is None else f"{name}/"
    return [OutputFile(f"{prefix}{system.generator}", what, system) for system in systems]


def _policy(run: Path, which: str, name: str) -> Model:
    """One policy of a run: `start`, `method` or `method@steps`."""
    folder = RunFolder(run)
    recipe = folder.recipe()
    main = next(iter(method_names(recipe)))
    method, at, step = which.partition("@")
    method = {"supervised": START, "model": main, "adapter": main}.get(method, method)
    initial = str(folder.start(recipe))
    if method == START and not at:
        if recipe.supervised is not None and not folder.supervised.is_made:
            raise RunError(f"{run}/{which}", "the run has not finished its supervised stage yet")
        if initial == str(folder.merged_start) and not folder.merged_start.is_dir():
            raise RunError(f"{run}/{which}", "the run has not made its starting model yet")
        return Model(name, initial, run)
    known = list(method_names(recipe))
    if method not in known:
        raise RunError(f"{run}/{which}", f"the run has no method `{method}`.{near_match(method, [START, *known])}")
    own = folder.method(method)
    looks = own.look_files()
    kept = ", ".join(f"@{k}" for k in looks) or "none yet"
    if at:
        if not step.isdigit() or int(step) not in looks:
            raise RunError(f"{run}/{which}", f"no policy was kept after `{step}` steps of {method}; kept: {kept}")
        checkpoint = own.look_after(int(step)).checkpoint
    elif own.has_taken(recipe.steps):
        checkpoint = own.final().checkpoint
    else:
        raise RunError(f"{run}/{which}", f"{method} has not finished; name one of the policies kept so far: {kept}")
    where = own.policy(checkpoint, initial)
    if where != initial and not Path(where).is_dir():
        raise RunError(f"{run}/{which}", f"its checkpoint is gone ({where})")
    return Model(name, str(where), run)
