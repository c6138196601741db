"""The judged pairs of a run's training, each once, without what only looks like one.

A verdict file has a row for every pair of a prompt's samples, asked or not. No pairs of different answers are: the
diagonal; two samples with the same text, which are no question to a judge; the mirrored half of a self-play table; what
a design did not ask; what the judge left without a verdict. And a pair that comes again, in another update or step, is
the same pair: the judge said the same of it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from comal.errors import RunError, near_match
from comal.pipeline.disk.files import read_table
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.disk.method_folder import StepFolder
from comal.pipeline.run.resolved import method_names
from comal.policies.base import Prompt


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """Two different answers to a prompt, and what the judge said.

    Attributes:
        prompt: as the policy was given it, system prompt included.
        first, second: the answers' texts, the order of the first verdict on them.
        probability: Pr(first ≻ second), both presentation orders averaged.
        method: whose training it is from; None of verdicts that were kept outside of a run.
        step: proximal step, from 0; None as for `method`.
    """

    prompt: Prompt
    first: str
    second: str
    probability: float
    method: str | None = None
    step: int | None = None

    @property
    def margin(self) -> float:
        """|2·Pr − 1|: 0 is a toss-up, 1 certain."""
        return abs(2 * self.probability - 1)

    @property
    def chosen(self) -> str:
        """The preferred answer."""
        return self.first if self.probability >= 0.5 else self.second

    @property
    def rejected(self) -> str:
        """The other."""
        return self.second if self.probability >= 0.5 else self.first


@dataclass(slots=True)
class JudgedPairs:
    """Goes through a run's verdict files once, a step in memory at a time.

    Attributes:
        run: the run.
        methods: whose training; empty: all of the run's.
        left_out: rows that are no pairs, by reason, counted while going through.
    """

    run: RunFolder
    methods: Sequence[str] = ()
    left_out: Counter[str] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[JudgedPair]:
        """The pairs, in the order of the files.

        Raises:
            RunError: no such method, no verdicts yet, or files of another version of comal.
        """
        self.left_out.clear()
        prompts = run_prompts(self.run)
        seen: set[bytes] = set()
        found = False
        for method in self._methods():
            for step in self.run.method(method).step_folders():
                for answers, path in _verdict_files(step):
                    found = True
                    yield from self._pairs(path, answers, prompts, seen, (method, int(step.path.name)))
        if not found:
            raise RunError(str(self.run.path), "the run has no verdicts yet; continue it with `comal run`")

    def _methods(self) -> list[str]:
        names = list(method_names(self.run.recipe()))
        for name in self.methods:
            if name not in names:
                raise RunError("--method", f"the run has no method `{name}`.{near_match(name, names)}")
        return [name for name in names if name in self.methods or not self.methods]

    def _pairs(
        self,
        path: Path,
        answers: Mapping[tuple[str, str], str],
        prompts: Mapping[str, Prompt],
        seen: set[bytes],
        place: tuple[str, int],
    ) -> Iterator[JudgedPair]:
        table = read_table(path)
        asked = table.get("asked", [True] * len(table["probability"]))
        columns = (table["prompt_id"], table["first_id"], table["second_id"], table["probability"], asked)
        for prompt_id, first_id, second_id, probability, was_asked in zip(*columns, strict=True):
            try:
                prompt = prompts[prompt_id]
                first, second = answers[prompt_id, first_id], answers[prompt_id, second_id]
            except KeyError as error:
                raise RunError(str(path), f"is about {error}, which is in none of the run's files") from None
            key = hashlib.sha256("\0".join([prompt_id, *sorted((first, second))]).encode("utf-8", "replace")).digest()
            reason = _why_no_pair(first, second, probability, asked=was_asked, known=key in seen)
            if reason is not None:
                self.left_out[reason] += 1
                continue
            seen.add(key)
            yield JudgedPair(prompt, first, second, probability, *place)


def run_prompts(run: RunFolder) -> dict[str, Prompt]:
    """A run's prompts by their ids, each as the policy was given it.

    Raises:
        RunError: they are not prepared yet.
    """
    splits = run.prompts()
    system = run.recipe().policy.system_prompt
    return {p.id: with_system(p, system) for p in (*splits.train, *splits.validation, *splits.test)}


def with_system(prompt: Prompt, system: str | None) -> Prompt:
    """The prompt with the run's system prompt before it."""
    return Prompt(({"role": "system", "content": system}, *prompt.messages)) if system else prompt


def _verdict_files(step: StepFolder) -> Iterator[tuple[dict[tuple[str, str], str], Path]]:
    """Each verdict file of a step with the texts of the answers it is about, by the ids of prompt and answer."""
    answers: dict[tuple[str, str], str] = {}
    for path in step.judged_answers():
        answers |= _texts(path)
    for path in step.all_verdicts():
        yield answers, path
    update = 1
    while (path := step.samples_of_update(update)).is_file():
        if (verdicts := step.verdicts_of_update(update)).is_file():
            yield _texts(path), verdicts
        update += 1


def _texts(path: Path) -> dict[tuple[str, str], str]:
    table = read_table(path)
    ids = zip(table["prompt_id"], table["answer_id"], strict=True)
    return dict(zip(ids, table["text"], strict=True))


def _why_no_pair(first: str, second: str, probability: float | None, *, asked: bool, known: bool) -> str | None:
    if first == second:
        return "equal answers"
    if not asked:
        return "not asked"
    if probability is None:
        return "no verdict"
    return "mirrored or repeated" if known else None
