"""Win rates as slime's reward of a whole group (`--group-rm --custom-rm-path comal.rewards.slime.win_rate`).

Written to the signature of slime at commit 701749b: `await custom_rm(args, samples)` with one prompt's
samples, one reward each in their order. Settings come from the environment, since slime hands over none of its own:

    COMAL_JUDGE         the judge's file
    COMAL_COMPARISONS   `all`, or how many others each answer meets
    COMAL_CACHE         file of kept verdicts; beside it is counted what a budget spends

slime wants numbers. A masked group gets 1/2 from every sample, so that its advantages are 0, and `remove_sample`, which
takes the samples out of the loss.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import Any

from comal.errors import ConfigError
from comal.rewards.group import GroupWinRate, read_comparisons
from comal.rewards.texts import answer_text, prompt_text


async def win_rate(args: Any, samples: Sequence[Any], **_: Any) -> list[float]:  # noqa: ARG001  slime's signature
    """The rewards of one prompt's samples.

    Raises:
        ConfigError: the environment names no judge, or `--group-rm` is not set.
        JudgeError: the judge cannot be asked.
    """
    if not isinstance(samples, Sequence):
        raise ConfigError("--group-rm", "win rates need a prompt's samples together; set it")
    answers = [answer_text(sample.response) for sample in samples]
    group = await _reward().group_async(prompt_text(samples[0].prompt), answers)
    for sample in samples:
        sample.metadata["win_rate_masked"] = group.masked
        if group.masked:
            sample.remove_sample = True
    return group.numbers


@functools.cache
def _reward() -> GroupWinRate:
    judge = os.environ.get("COMAL_JUDGE", "")
    if not judge:
        raise ConfigError("COMAL_JUDGE", "the environment names no judge; set it to a file such as judge.yaml")
    comparisons = read_comparisons(os.environ.get("COMAL_COMPARISONS", "all"), "COMAL_COMPARISONS")
    return GroupWinRate(judge, comparisons, os.environ.get("COMAL_CACHE") or "shared")
