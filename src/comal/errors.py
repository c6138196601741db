"""The one exception family for what a user can fix.

The command line prints these without a traceback and exits with status 2 (`exit_code`). A message names the place, the
value, the nearest match and the fix.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ComalError(Exception):
    """Something the person who runs comal can fix: `error: <place>: <what is wrong>; <how to mend it>`.

    Attributes:
        place: where the mistake is (a dotted configuration key, a file with its line, a matrix cell).
        problem: what is wrong and how to mend it.
    """

    exit_code = 2

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}" if place else problem)
        self.place = place
        self.problem = problem

    def __reduce__(self) -> tuple[type[ComalError], tuple[str, str]]:
        return type(self), (self.place, self.problem)


class ConfigError(ComalError):
    """A recipe, an option or a command-line value that cannot be used."""


class DataError(ComalError):
    """A file or data set that cannot be read as what it should be."""


class GameError(ComalError):
    """A matrix that is not a preference game."""


class JudgeError(ComalError):
    """A judge that cannot be asked, or that failed to give verdicts too often."""


class PolicyError(ComalError):
    """A model that cannot be loaded or used as a policy."""


class RunError(ComalError):
    """A run folder that cannot be continued."""


def first_line(error: BaseException) -> str:
    """What an error of other people's code says, in one line; its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def near_match(word: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'? Known: a, b, x`, or only the known words when nothing is near."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    squeezed = {name.replace("_", "").replace("-", ""): name for name in names}
    close = close or [squeezed[k] for k in [word.replace("_", "").replace("-", "")] if k in squeezed]
    hint = f" Did you mean `{close[0]}`?" if close else ""
    return f"{hint} Known: {', '.join(names)}"
