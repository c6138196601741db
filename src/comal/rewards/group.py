"""The win rates of K answers to one prompt, as a reward for whatever trains the policy that gave them.

    r_i = mean over the others j of P(y_i > y_j | x)          among themselves
    r_i = mean over the opponents j of P(y_i > o_j | x)       against given opponents

Against the group's own answers r_i is, given y_i, an unbiased estimate of y_i's win rate against the policy, and
averages to 1/2 over the group. So policy gradient on it (GRPO without dividing by the standard deviation) is the
gradient of P(pi_theta > pi) at pi_theta = pi: self-play. With a KL to a reference it solves the game regularised to
that reference, and with a reference that moves to the policy now and then it is COMAL.

Both presentation orders are asked and averaged; with `comparisons=k` each answer meets k others and its win rate is
completed without bias (`comal.judges.asking.completion`), so it may leave [0, 1] a little. A question without a verdict
is never a number: the means are over the verdicts there are, and a group is masked as a whole where some answer has
none at all, or where its baseline would not be one.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from comal.errors import ConfigError, DataError, near_match
from comal.judges.asking.completion import complete_against_others, complete_cross
from comal.judges.asking.design import Mask, exists, pairs_to_ask
from comal.judges.asking.oracle import OracleStats
from comal.judges.asking.sharing import SharedJudge, SharedOracle
from comal.judges.asking.tables import all_pairs, cross
from comal.judges.base import Judge, Records, Spend
from comal.judges.kept.cache import SPEND_NAME, shared_cache_path
from comal.plugins import describe
from comal.recipes.judge_text import read_judge
from comal.resolve import resolve_judge
from comal.rewards.sharing import release, shared_judge, threads

_PLACE = "GroupWinRate"
_LIMITS = ("max_calls", "max_total_tokens", "max_cost")
OnFailure = Literal["mask", "raise"]


@dataclass(frozen=True, slots=True)
class GroupReward:
    """What a group is rewarded with.

    Attributes:
        win_rates: of each of K answers; all None where the group is masked.
        counts: what was asked for it; of several groups rewarded at once the first has the counts of all.
        reasons: why the judge had no verdict, and how often, commonest first; with the counts.
    """

    win_rates: tuple[float | None, ...]
    counts: OracleStats = field(default_factory=OracleStats)
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def masked(self) -> bool:
        """Whether there is no reward."""
        return self.win_rates[0] is None

    @property
    def numbers(self) -> list[float]:
        """For trainers that know only numbers: a masked group's are all 1/2, as any group's mean, so no advantage."""
        return [0.5 if rate is None else rate for rate in self.win_rates]


class GroupWinRate:
    """(prompt, K answers) -> K win rates, fairly asked, kept and budgeted as in a run.

    Threads may share one; of one judge and cache, all of a process share connections, budget and what is being asked.
    It can be pickled and sent to other processes, which share cache and budget by their files.
    """

    def __init__(
        self,
        judge: Judge | Mapping[str, Any] | str,
        comparisons: Literal["all"] | int = "all",
        cache: Path | str | None = "shared",
        budget: Mapping[str, float] | None = None,
        on_failure: OnFailure = "mask",
        spend: Path | str | None = None,
        seed: int = 0,
    ) -> None:
        """Reward by `judge`.

        Args:
            judge: a judge, its mapping with `name`, its name, or a file of them (`judge.yaml`).
            comparisons: `all` pairs of a group's answers, or k: each answer meets k others, drawn at random.
            cache: file in which an expensive judge's verdicts are kept; `shared` is this user's own, None keeps none.
            budget: limits that go before the judge's own: max_calls, max_total_tokens, max_cost.
            on_failure: `mask` groups that the judge leaves without the verdicts they need, or `raise` where one fails.
                An outage, or a budget without room, raises always.
            spend: file in which a budget is counted; by default `spend.sqlite` beside a `cache` of your own.
            seed: of the pairs that are asked; one group is asked the same pairs each time.

        Raises:
            ConfigError: settings that do not fit, or a budget that no file counts.
            JudgeError: the judge could not be asked.
        """
        given = judge if isinstance(judge, (Judge, Mapping)) else read_judge(str(judge), f"{_PLACE}.judge")
        named = given if isinstance(given, tuple) else (given, f"{_PLACE}.judge")
        self.judge = _with_budget(resolve_judge(*named), budget)
        if comparisons != "all" and (
            isinstance(comparisons, bool) or not isinstance(comparisons, int) or comparisons < 1
        ):
            raise ConfigError(f"{_PLACE}.comparisons", f"need `all` or a number from 1, got {comparisons!r}")
        if on_failure not in ("mask", "raise"):
            raise ConfigError(f"{_PLACE}.on_failure", f"need mask or raise, got {on_failure!r}")
        self.comparisons = comparisons
        self.on_failure = on_failure
        self.seed = seed
        own = cache is not None and str(cache) != "shared"
        path = None if cache is None else Path(cache) if own else shared_cache_path()
        counted = Path(spend) if spend is not None else path.with_name(SPEND_NAME) if own and path is not None else None
        limits = [name for name in _LIMITS if getattr(self.judge, name, None) is not None]
        if limits and counted is None:
            raise ConfigError(
                f"{_PLACE}.spend",
                f"{limits[0]} holds for all processes and continuations, so it is counted in a file; give a `cache` of"
                " your own, beside which it is, or `spend`",
            )
        self._records = Records(path, counted)
        self.judge.check()

    def __call__(self, prompt: str, answers: Sequence[str]) -> list[float | None]:
        """The win rates of the answers among themselves; see `group`."""
        return list(self.group(prompt, answers).win_rates)

    def group(self, prompt: str, answers: Sequence[str], opponents: Sequence[str] | None = None) -> GroupReward:
        """The reward of one group.

        Args:
            prompt: as the judge is shown it.
            answers: K of them, independent samples.
            opponents: answers to win against instead of each other.

        Raises:
            DataError: a group that cannot be compared as asked.
            JudgeError: the judge cannot be asked, or has no verdict and `on_failure` is `raise`.
        """
        return self.groups([prompt], [answers], None if opponents is None else [opponents])[0]

    async def group_async(
        self, prompt: str, answers: Sequence[str], opponents: Sequence[str] | None = None
    ) -> GroupReward:
        """As `group`, while the event loop goes on; what a cancelled call has asked is kept all the same."""
        return await asyncio.get_running_loop().run_in_executor(threads(), self.group, prompt, answers, opponents)

    def groups(
        self,
        prompts: Sequence[str],
        answers: Sequence[Sequence[str]],
        opponents: Sequence[Sequence[str]] | None = None,
    ) -> list[GroupReward]:
        """The rewards of several groups, asked together; of a design, completed with weights from one another.

        Raises:
            DataError: a group that cannot be compared as asked.
            JudgeError: as `group`.
        """
        if not prompts:
            return []
        others: list[Sequence[str] | None] = [None] * len(prompts) if opponents is None else list(opponents)
        masks = [self._asked(*group) for group in zip(prompts, answers, others, strict=True)]
        oracle = SharedOracle(self._shared(), 1.0 if self.on_failure == "mask" else 0.0)
        if opponents is None:
            tables = all_pairs(oracle, prompts, answers, masks)
        else:
            tables = cross(oracle, prompts, answers, opponents, masks)
        complete = complete_against_others if opponents is None else complete_cross
        rates: dict[int, tuple[float | None, ...]] = {}
        shapes = [table.shape for table in tables]
        for shape in dict.fromkeys(shapes):  # weights are of groups of one size
            members = [number for number, other in enumerate(shapes) if other == shape]
            rows = complete([tables[i] for i in members], [masks[i] for i in members])
            for number, row in zip(members, rows, strict=True):
                whole = bool(np.isfinite(row).all())
                rates[number] = tuple(float(r) for r in row) if whole else (None,) * shape[0]
        first = GroupReward(rates[0], oracle.stats, oracle.reasons)
        return [first, *(GroupReward(rates[number]) for number in range(1, len(prompts)))]

    def spent(self) -> Spend | None:
        """What the judge has spent, as its file counts it; None where nothing is metered."""
        return self._shared().spent()

    def stop(self) -> None:
        """Let every thread that asks this judge end in good order; each gets a `StoppedError`."""
        self._shared().stop()

    def close(self) -> None:
        """Let go of connections and files; the next call opens them again. Nobody may be asking."""
        release(self.judge, self._records)

    def _shared(self) -> SharedJudge:
        return shared_judge(self.judge, self._records)

    def _asked(self, prompt: str, answers: Sequence[str], opponents: Sequence[str] | None) -> Mask:
        """Which pairs of a group are asked."""
        K = len(answers)
        if opponents is None and K < 2:
            raise DataError("answers", f"a group needs 2 answers or more to win against each other, got {K}")
        if not K or (opponents is not None and not len(opponents)):
            raise DataError("answers" if not K else "opponents", "there are none")
        L = K if opponents is None else len(opponents)
        if self.comparisons == "all":
            return np.ones((K, L), dtype=bool)
        k = self.comparisons
        if opponents is None and k < K - 1 and not exists(K, k):
            raise DataError("answers", f"{K} answers cannot each meet {k} others; take an even number of one of them")
        if opponents is not None and k < L and L != K:
            raise DataError(
                "opponents", f"that each answer meets {k} needs as many opponents as answers, {K}; there are {L}"
            )
        content = json.dumps([self.seed, prompt, list(answers), opponents if opponents is None else list(opponents)])
        seed = int.from_bytes(hashlib.sha256(content.encode()).digest()[:4], "big")
        return pairs_to_ask(answers, opponents, k, seed)


def read_comparisons(text: str, place: str) -> Literal["all"] | int:
    """`all` or how many others each answer meets, from an option's or a variable's text.

    Raises:
        ConfigError: neither.
    """
    if text == "all":
        return "all"
    if not text.isdecimal() or not int(text):
        raise ConfigError(place, f"need `all` or a number from 1, got `{text}`")
    return int(text)


def _with_budget(judge: Judge, budget: Mapping[str, float] | None) -> Judge:
    if not budget:
        return judge
    for name in budget:
        if name not in _LIMITS:
            raise ConfigError(f"{_PLACE}.budget", f"`{name}` is no limit.{near_match(str(name), _LIMITS)}")
        if not hasattr(judge, name):
            raise ConfigError(f"{_PLACE}.budget", f"the judge `{describe(judge)['name']}` is not metered")
    return resolve_judge(describe(judge) | dict(budget), f"{_PLACE}.budget")
