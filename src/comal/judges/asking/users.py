"""The users of a population, asked one by one: for everything that does not follow from the mean of their verdicts.

Each user is asked by an oracle of its own, so both presentation orders, kept verdicts and the counting of failures are
as for any judge. Verdicts are kept under the user's own fingerprint: the population that is asked for its mean, or
another one that shares the user, finds them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from comal.errors import JudgeError
from comal.judges.asking.oracle import Oracle, OracleStats
from comal.judges.asking.tables import Table, all_pairs, cross
from comal.judges.base import Comparison, Judge


class HasUsers(Protocol):
    """A population; see `comal.judges.population`."""

    @property
    def users(self) -> Sequence[Judge]:
        """A judge for each user."""
        ...

    @property
    def user_names(self) -> Sequence[str]:
        """A name for each."""
        ...

    @property
    def shares(self) -> Sequence[float]:
        """The share of each, summing to 1."""
        ...

    @property
    def choice(self) -> str:
        """`luce` or `ranked`."""
        ...


def decided(p: ArrayLike) -> NDArray[np.float64]:
    """What a user who ranks prefers, of whom a judge is so sure: 1, 0, or ½; NaN stays."""
    values = np.asarray(p, dtype=np.float64)
    return np.where(np.isnan(values), np.nan, 0.5 + 0.5 * np.sign(values - 0.5))


class Users:
    """Oracles of a population's users.

    Attributes:
        names: of the users.
        shares: of the users, (U,), summing to 1.
    """

    def __init__(
        self,
        population: HasUsers,
        cache_path: Path | None = None,
        max_failure_rate: float = 0.05,
        spend_path: Path | None = None,
    ) -> None:
        """Ask the users of `population`; see `Oracle` for the rest, which is each user's."""
        oracle = Oracle if population.choice == "luce" else _RankingOracle
        self.oracles = [oracle(user, cache_path, max_failure_rate, spend_path=spend_path) for user in population.users]
        self.names = tuple(population.user_names)
        self.shares = np.asarray(population.shares, dtype=np.float64)

    @property
    def stats(self) -> OracleStats:
        """Counts of all users together."""
        return sum((oracle.stats for oracle in self.oracles), OracleStats())

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """See `Oracle.counted`."""
        with contextlib.ExitStack() as stack:
            for oracle in self.oracles:
                stack.enter_context(oracle.counted())
            yield

    def all_pairs(self, prompts: Sequence[str], answers: Sequence[Sequence[str]]) -> list[Table]:
        """For each prompt P[u, i, j] = Pr(user u prefers i to j), (U, K, K); the diagonal is ½, no verdict NaN.

        Raises:
            JudgeError: as `Oracle.win_probabilities`, of the first user of whom it is true.
        """
        return self._by_prompt(lambda oracle: all_pairs(oracle, prompts, answers))

    def cross(
        self, prompts: Sequence[str], answers: Sequence[Sequence[str]], opponents: Sequence[Sequence[str]]
    ) -> list[Table]:
        """For each prompt P[u, i, j] = Pr(user u prefers answer i to the opponent's j), (U, K, L), NaN without one.

        Raises:
            JudgeError: as `all_pairs`.
        """
        return self._by_prompt(lambda oracle: cross(oracle, prompts, answers, opponents))

    def _by_prompt(self, ask: Callable[[Oracle], list[Table]]) -> list[Table]:
        tables = []
        for name, oracle in zip(self.names, self.oracles, strict=True):
            try:
                tables.append(ask(oracle))
            except JudgeError as error:
                raise JudgeError(f"{name}: {error.place}", error.problem) from error
        return [np.stack(of_prompt) for of_prompt in zip(*tables, strict=True)]


class _RankingOracle(Oracle):
    """Of a user who ranks answers: each presentation order names a winner, and two that differ make a tie."""

    def _ask(self, asked: Sequence[Comparison], num_questions: int) -> dict[Comparison, float]:
        return {comparison: float(decided(p)) for comparison, p in super()._ask(asked, num_questions).items()}
