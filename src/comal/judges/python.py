"""Anybody's Python function as a judge: people's rules, or a service with a client of its own."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from comal.errors import JudgeError
from comal.judges.base import Comparison, Judge
from comal.plugins import load_object

_PLACE = "python.function"
PreferenceFunction = Callable[[str, str, str], float | None]


@dataclass(frozen=True, slots=True)
class Python(Judge):
    """A function (prompt, first, second) -> Pr(first ≻ second), or None where it has no verdict.

    Attributes:
        function: where it is, `package.module:name`.
        symmetric: whether f(x, a, b) = 1 − f(x, b, a), so that one presentation order is enough.
        expensive: whether its verdicts are kept on disk; they are forgotten when the source of its module changes.

    Raises:
        ValueError: `function` is not of the form `module:name`.
    """

    function: str
    symmetric: bool = False
    expensive: bool = False

    def __post_init__(self) -> None:
        module, _, name = self.function.partition(":")
        if not (module and name.isidentifier()):
            raise ValueError(f"function: need `package.module:name`, got `{self.function}`")

    def check(self) -> None:
        """The function can be imported."""
        self._load()

    def identity(self) -> dict[str, Any]:
        """The settings, and the source of the function's module."""
        try:
            source = inspect.getsource(cast("Any", inspect.getmodule(self._load())))
        except (OSError, TypeError):  # built in, or made at run time
            source = ""
        return Judge.identity(self) | {"source": hashlib.sha256(source.encode()).hexdigest()}

    def compare(self, comparisons: Sequence[Comparison]) -> list[float | None]:
        """Call the function on each.

        Raises:
            JudgeError: it cannot be imported, or it raised.
        """
        function = self._load()
        verdicts = []
        for comparison in comparisons:
            try:
                verdicts.append(function(comparison.prompt, comparison.first, comparison.second))
            except Exception as error:
                raise JudgeError(
                    _PLACE,
                    f"`{self.function}` raised {type(error).__name__}: {error} on {comparison}; where it has no verdict"
                    " it should return None",
                ) from error
        return verdicts

    def _load(self) -> PreferenceFunction:
        found = load_object(self.function, _PLACE, JudgeError, "function")
        if not callable(found):
            raise JudgeError(_PLACE, f"`{self.function}` is no function but {found!r:.60}")
        return cast("PreferenceFunction", found)
