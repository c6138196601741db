"""Which prompts an evaluation is held on, and what about them and the judge flatters a policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from comal.errors import ConfigError, DataError
from comal.evaluation.crossplay.alpaca_eval import common_prompts
from comal.judges.base import Judge
from comal.pipeline.crossplay.settings import EvalSettings
from comal.pipeline.crossplay.sources import (
    Model,
    OutputFile,
    Source,
    judge_of_training,
    test_prompts,
    training_prompts,
)
from comal.pipeline.data.prompts import load_prompts
from comal.policies.base import Prompt


def find_prompts(settings: EvalSettings, sources: Sequence[Source], note: Callable[[str], None]) -> list[Prompt]:
    """Those asked for, else those of the output files, else the test prompts of the first run.

    Raises:
        ComalError: there are none, fewer than two, or not all output files answer them.
    """
    files = [source for source in sources if isinstance(source, OutputFile)]
    runs = [s.run for s in sources if isinstance(s, Model) and s.run is not None]
    if settings.prompts is not None:
        given = {p.text: p for p in load_prompts(settings.prompts, "--prompts", settings.seed)}
        own = [(f.name, [x for x in f.outputs.answers if x in given]) for f in files]
        kept = common_prompts([("--prompts", list(given)), *own], settings.intersection, note)
        prompts = [given[text] for text in kept]
    elif files:
        systems = [(f.name, list(f.outputs.answers)) for f in files]
        prompts = [Prompt.of_text(text) for text in common_prompts(systems, settings.intersection, note)]
    elif runs:
        prompts = test_prompts(runs[0])
    else:
        raise ConfigError(
            "--prompts",
            "models need prompts to answer: name a file or data set of held-out ones, or add an output file",
        )
    if settings.limit is not None and settings.limit < len(prompts):
        chosen = np.random.default_rng(settings.seed).choice(len(prompts), settings.limit, replace=False)
        prompts = [prompts[x] for x in sorted(chosen.tolist())]
    if len(prompts) < 2:
        raise DataError("prompts", f"an interval needs at least two prompts, got {len(prompts)}")
    return prompts


def warn_of_training(
    sources: Sequence[Source], prompts: Sequence[Prompt], judge: Judge, note: Callable[[str], None]
) -> None:
    """Note judges and prompts that a policy was trained on: figures under them flatter it."""
    runs = list(dict.fromkeys(s.run for s in sources if isinstance(s, Model) and s.run is not None))
    for run in judge_of_training(runs, judge.fingerprint(), note):
        note(
            f"{run} was trained on this very judge, so its win rates say how well it was optimised, not how good it "
            "is; evaluate with another judge"
        )
    for run in runs:
        known = training_prompts(run)
        seen = sum(prompt.text in known for prompt in prompts)
        if seen:
            note(f"{run} was trained or watched on {seen} of the {len(prompts)} prompts")
