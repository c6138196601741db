"""Win rates as a group reward of verifiers' rubrics, which prime-rl trains on (written for verifiers 0.1.14).

A rubric finds out by a function's parameters that it wants a whole group: `prompts` and `completions`. It adds rewards
up as numbers, so a masked group gets the mean of win rates, 1/2, from every answer: within the group the advantages are
0, which is what masked means. It is marked in each `state` (`win_rate_masked`). What is raised (an outage, a budget
without room) the rubric turns into 0 for the whole group and a line in its log.

In verifiers 0.3 such rubrics live in `verifiers.legacy`; 0.4 has none, and takes win rates over HTTP.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

from comal.rewards.group import GroupWinRate
from comal.rewards.texts import Written, answer_text, prompt_text


def group_reward(reward: GroupWinRate) -> Any:
    """The function for `vf.Rubric(funcs=[...])`; it is called `win_rate` in the metrics."""

    async def win_rate(
        prompts: Sequence[Written],
        completions: Sequence[Written],
        states: Sequence[MutableMapping[str, Any]],
    ) -> list[float]:
        answers = [answer_text(completion) for completion in completions]
        group = await reward.group_async(prompt_text(prompts[0]), answers)
        for state in states:
            state["win_rate_masked"] = group.masked
        return group.numbers

    return win_rate
