"""Answers of one policy to a list of prompts, as a table on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from comal.errors import RunError
from comal.pipeline.disk.files import read_table, write_table
from comal.pipeline.processes.distributed import map_chunks, on_main, state
from comal.policies.base import Completion, Prompt, answer_id
from comal.policies.engines.base import Sampler
from comal.policies.transformers import TransformersPolicy


@dataclass(frozen=True, slots=True)
class Samples:
    """K completions of each prompt, in the prompts' order."""

    prompts: tuple[Prompt, ...]
    completions: tuple[tuple[Completion, ...], ...]

    @property
    def texts(self) -> list[list[str]]:
        """The answers' texts, a list a prompt."""
        return [[c.text for c in group] for group in self.completions]

    def answer_ids(self) -> list[list[str]]:
        """Stable ids of the answers, a list a prompt."""
        return [[answer_id(p, c) for c in group] for p, group in zip(self.prompts, self.completions, strict=True)]

    def part(self, start: int, end: int | None = None) -> Samples:
        """The same prompts with completions `start` to `end` of each."""
        return Samples(self.prompts, tuple(group[start:end] for group in self.completions))

    @property
    def mean_tokens(self) -> float:
        """Mean length in tokens."""
        return float(np.mean([len(c.token_ids) for group in self.completions for c in group]))

    @property
    def unfinished(self) -> float:
        """Share of answers that hit the length limit."""
        return float(np.mean([not c.finished for group in self.completions for c in group]))

    def save(self, path: Path, **extra: list[Any]) -> None:
        """Write one row an answer, with extra columns."""
        groups = list(zip(self.prompts, self.completions, strict=True))
        columns: dict[str, list[Any]] = {
            "prompt_id": [p.id for p, group in groups for _ in group],
            "answer_id": [answer_id(p, c) for p, group in groups for c in group],
            "prompt": [p.text for p, group in groups for _ in group],
            "text": [c.text for _, group in groups for c in group],
            "finished": [c.finished for _, group in groups for c in group],
            "token_ids": [list(c.token_ids) for _, group in groups for c in group],
        }
        write_table(path, columns | extra)

    @classmethod
    def load(cls, path: Path, prompts: Sequence[Prompt]) -> Samples:
        """What `save` wrote for these prompts.

        Raises:
            RunError: the file is about other prompts.
        """
        table = read_table(path)
        count, remainder = divmod(len(table["prompt_id"]), len(prompts))
        if remainder or table["prompt_id"] != [p.id for p in prompts for _ in range(count)]:
            raise RunError(str(path), "the file holds answers to other prompts; remove it to sample again")
        completions = [
            Completion(text, tuple(ids), finished)
            for text, ids, finished in zip(table["text"], table["token_ids"], table["finished"], strict=True)
        ]
        groups = tuple(tuple(completions[i * count : (i + 1) * count]) for i in range(len(prompts)))
        return cls(tuple(prompts), groups)


def sample_once(path: Path, sampler: Sampler | None, prompts: Sequence[Prompt], count: int, seed: int) -> Samples:
    """The samples in `path`, drawn by `sampler` first when the file is not there yet; shared among processes.

    Raises:
        PolicyError: what is drawn is not what is scored, or the engine failed.
    """
    if not path.is_file():
        assert sampler is not None
        check_door(sampler, prompts)
        numbered = list(enumerate(prompts))
        size = sampler.at_once(len(numbered), count)
        groups = map_chunks(lambda chunk: sampler.answers(chunk, count, seed), numbered, size, sampler.stride)
        sampler.rest()
        fresh = Samples(tuple(prompts), tuple(tuple(g) for g in groups))
        on_main(lambda: fresh.save(path))
    return Samples.load(path, prompts)


def check_door(sampler: Sampler, prompts: Sequence[Prompt]) -> None:
    """Check, in the processes that draw, that what is drawn is what is scored.

    Raises:
        PolicyError: it is not.
    """
    if state().process_index % sampler.stride == 0:
        sampler.check(prompts)


def score(policy: TransformersPolicy, samples: Samples) -> NDArray[np.float64]:
    """Log-probability of every answer, shape (prompts, K), in nats; the work is shared among processes."""
    groups = [
        (policy.encoder(p), [c.token_ids for c in group])
        for p, group in zip(samples.prompts, samples.completions, strict=True)
    ]
    # Sorted by length, so that batches need little padding, and before they are shared out among processes.
    order = sorted(range(len(groups)), key=lambda i: (len(groups[i][0]), sum(map(len, groups[i][1])), i))
    size = max(1, policy.score_batch // len(samples.completions[0]))
    rows = map_chunks(
        lambda chunk: policy.score_groups([groups[i] for i in chunk]), order, size, in_step=policy.in_step
    )
    logp = np.empty((len(groups), len(samples.completions[0])))
    logp[order] = rows
    return logp
