"""How many inputs a fuzz test throws, and what must hold however the command ends that they are thrown at."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import pytest
from click.testing import Result
from hypothesis import HealthCheck, Phase, settings

CASES = "COMAL_FUZZ_CASES"
"""The environment variable with the cases of a long run, all tests together."""

_LONG = 2000
_QUICK = 60
_KNOWN_ENDS = (0, 2, 3)


@dataclass(frozen=True)
class Tier:
    """How thoroughly to look.

    Attributes:
        cases: of all fuzz tests together.
        derandomize: the same cases every time.
    """

    cases: int
    derandomize: bool

    def share(self, part: float) -> settings:
        """The settings of a test that throws this part of the cases."""
        return settings(
            max_examples=max(1, round(self.cases * part)),
            derandomize=self.derandomize,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=True,
            print_blob=True,
        )


TIERS = pytest.mark.parametrize(
    "tier",
    [
        pytest.param(Tier(_QUICK, derandomize=True), id="quick"),
        pytest.param(Tier(int(os.environ.get(CASES, _LONG)), derandomize=False), id="long", marks=pytest.mark.slow),
    ],
)


def sound(outcome: Result, holds: Callable[[Any], None] | None = None) -> None:
    """A command ended in one of the known ways, and where it printed JSON, what it says is possible.

    Args:
        outcome: of the command, as typer's runner gives it.
        holds: asserts what is true of the JSON of a command that ended well, or without convergence; None where it
            prints no JSON.
    """
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    assert outcome.exit_code in _KNOWN_ENDS, f"exit code {outcome.exit_code}: {outcome.stderr}"
    assert "Traceback" not in outcome.stderr
    if outcome.exit_code == 2:
        assert outcome.stdout == ""
        errors = [line for line in outcome.stderr.splitlines() if line.startswith("error: ")]
        # Options that typer itself refuses have its own frame.
        assert len(errors) == 1 or "Usage:" in outcome.stderr, outcome.stderr
        return
    if holds is not None:
        plain = json.loads(outcome.stdout, parse_constant=_refuse)
        _finite(plain)
        holds(plain)


def _refuse(word: str) -> NoReturn:
    raise AssertionError(f"{word} is no number of JSON")


def _finite(value: Any) -> None:
    if isinstance(value, float):
        assert math.isfinite(value), value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _finite(one)
