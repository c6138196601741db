"""How often a judge is called for a pair of answers."""

from __future__ import annotations

from comal.judges.base import Judge
from comal.judges.population import Population


def calls_of(judge: Judge) -> int:
    """Calls that a pair takes: one for each presentation order, and those of each user of a population."""
    return sum(1 if one.symmetric else 2 for one in users_of(judge))


def users_of(judge: Judge) -> tuple[Judge, ...]:
    """The users of a population; of any other judge, that judge."""
    return judge.users if isinstance(judge, Population) else (judge,)
