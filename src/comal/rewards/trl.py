"""Win rates as a reward function of TRL's `GRPOTrainer` (written for trl 1.16).

TRL hands a reward function flat lists and not how many answers a prompt has; and with several processes a process holds
a part of them, which may begin or end within a group. So `num_generations` is said here once more, and the answers of
all processes are put together first; each process then judges its share of whole groups.

A masked group gets None, which TRL turns into advantages of 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from comal.errors import ComalError, ConfigError, JudgeError
from comal.judges.asking.oracle import OracleStats
from comal.rewards.group import GroupReward, GroupWinRate
from comal.rewards.texts import Written, answer_text, prompt_text

Rewards = list[float | None]


class TRLWinRate:
    """The reward function; give it to `GRPOTrainer(reward_funcs=...)`."""

    __name__ = "win_rate"
    """TRL's name of the reward in its logs."""

    def __init__(self, reward: GroupWinRate, num_generations: int) -> None:
        """Reward by `reward`.

        Args:
            reward: shared with whoever else asks the same judge.
            num_generations: that of the trainer's `GRPOConfig`.

        Raises:
            ConfigError: fewer than two, or groups that `reward` cannot compare as it is told to.
        """
        if num_generations < 2:
            raise ConfigError("num_generations", f"need 2 or more answers to compare, got {num_generations}")
        self.reward = reward
        self.num_generations = num_generations

    def __call__(
        self,
        prompts: Sequence[Written],
        completions: Sequence[Written],
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> Rewards:
        """The rewards of this process's answers, in their order.

        Raises:
            ConfigError: the answers are no groups of `num_generations`.
            JudgeError: the judge cannot be asked, in any of the processes.
        """
        mine = [
            (prompt_text(prompt), answer_text(completion))
            for prompt, completion in zip(prompts, completions, strict=True)
        ]
        rank, parts = _gathered(mine)
        everything = [pair for part in parts for pair in part]
        rewards, counts = self._judge(everything, rank, len(parts))
        if log_metric is not None:  # every process logs the same: TRL averages over them
            for name, value in _statistics(rewards, counts).items():
                log_metric(f"judge/{name}", value)
        start = sum(map(len, parts[:rank]))
        return rewards[start : start + len(mine)]

    def _judge(self, pairs: list[tuple[str, str]], rank: int, processes: int) -> tuple[Rewards, OracleStats]:
        """The rewards of all processes' answers, and what all have asked for them."""
        K = self.num_generations
        groups = [pairs[start : start + K] for start in range(0, len(pairs), K)]
        for group in groups:
            if len(group) < K or len({prompt for prompt, _ in group}) > 1:
                raise ConfigError(
                    "num_generations", f"the answers do not come in groups of {K} to one prompt; give the trainer's own"
                )
        mine = groups[rank::processes]
        outcome: list[GroupReward] | ComalError
        try:
            outcome = self.reward.groups([group[0][0] for group in mine], [[a for _, a in group] for group in mine])
        except ComalError as error:  # the others wait for this process: tell them first
            outcome = error
        _, outcomes = _gathered(outcome)
        rewards: Rewards = [None] * len(pairs)
        counts = OracleStats()
        for of, found in enumerate(outcomes):
            if isinstance(found, ComalError):
                raise found if of == rank else JudgeError(found.place, found.problem)
            for number, group_reward in zip(range(of, len(groups), processes), found, strict=True):
                rewards[number * K : (number + 1) * K] = group_reward.win_rates
                counts += group_reward.counts
        return rewards, counts


def _statistics(rewards: Rewards, counts: OracleStats) -> dict[str, float]:
    """Of one call; what was not asked has no rate, and is left out in every process alike."""
    rates = {"failure_rate": counts.failure_rate, "flip_rate": counts.flip_rate, "position_bias": counts.position_bias}
    return {
        "questions": float(counts.questions),
        "calls": float(counts.judge_calls),
        "kept": float(counts.cache_hits),
        "masked": sum(r is None for r in rewards) / len(rewards),
    } | {name: rate for name, rate in rates.items() if rate is not None}


def _gathered(mine: Any) -> tuple[int, list[Any]]:
    """This process's rank, and what every process holds, by rank."""
    from accelerate import PartialState
    from accelerate.utils import gather_object

    state = PartialState()
    if state.num_processes == 1:
        return 0, [mine]
    return state.process_index, list(gather_object([mine]))
