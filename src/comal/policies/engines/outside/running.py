"""The one engine process that a process has, and the checkpoint that it holds.

It is kept between the stages and methods of a run, since it takes long to start, and gives its place to another where
other settings are asked for: two would not fit beside each other on one accelerator.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comal.errors import PolicyError
from comal.policies.base import Drawn
from comal.policies.engines.base import PLACE
from comal.policies.engines.outside.process import EngineProcess, Spent

if TYPE_CHECKING:
    from comal.policies.door import Agreement


@dataclass(frozen=True, slots=True)
class Held:
    """What an engine holds.

    Attributes:
        weights: folder or hub id of the whole model.
        adapter: folder of the adapter on it; None without one.
    """

    weights: str
    adapter: str | None = None


@dataclass(eq=False)
class RunningEngine:
    """An engine's process, started when it is first needed and again when it has ended.

    Attributes:
        settings: all that one is started with; engines of equal settings are one.
        launch: starts a process; nothing is loaded yet.
        request: that loads a model into it, all but the model's name.
        seconds: that loading may take.
        reload: whether a running engine may be given other weights, where it can take them.
        held: what it holds now.
        before: what it held before that.
        reloaded: whether that was read into a running engine.
        facts: what it said of itself when it was started.
        agreement: what the check at the door found of what it holds.
    """

    settings: object
    launch: Callable[[], EngineProcess]
    request: Mapping[str, Any]
    seconds: float
    reload: bool = True
    held: Held | None = None
    before: Held | None = None
    reloaded: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
    agreement: Agreement | None = None
    _process: EngineProcess | None = None

    def hold(self, wanted: Held) -> None:
        """Load a checkpoint, unless it is held already.

        Raises:
            PolicyError: the engine failed.
        """
        alive = self._process is not None and self._process.is_alive
        if alive and self.held == wanted:
            return
        before, self.held, self.agreement = self.held, None, None
        if before is not None and before != wanted:
            self.before = before
        if alive and before is not None and before.weights != wanted.weights and not self._can_reload(wanted):
            self.close()
            alive = False
        if not alive:
            self.reloaded = False
            self._start(wanted.weights)
        elif before is None or before.weights != wanted.weights:
            self.reloaded = True
            self._ask({"do": "open", "weights": wanted.weights}, f"load `{wanted.weights}`")
        if wanted.adapter is not None or (alive and before is not None and before.adapter is not None):
            what = wanted.adapter or wanted.weights
            self._ask({"do": "open", "adapter": wanted.adapter}, f"open `{what}`")
        self.held = wanted

    def draw(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], sampling: Mapping[str, Any]) -> list[Drawn]:
        """One answer a prompt and seed.

        Raises:
            PolicyError: the engine failed.
        """
        request = {"do": "draw", "prompts": list(map(list, prompts)), "seeds": list(seeds), "sampling": dict(sampling)}
        reply = self._ask(request, f"draw {len(seeds)} answers")
        return [
            Drawn(tuple(a["tokens"]), None if a["log_probs"] is None else tuple(a["log_probs"]))
            for a in reply["answers"]
        ]

    def rest(self) -> None:
        """Give an accelerator's memory back: by sleep where the engine can, or else by ending its process."""
        if self._process is None or not self._process.is_alive or self.facts["device"] == "cpu":
            return
        if self.facts["sleeps"]:
            self._ask({"do": "rest"}, "give its memory back")
        else:
            self.close()

    def close(self) -> None:
        """End the process."""
        global _ended
        if self._process is not None:
            self._process.close()
            _ended += self._process.spent
            self._process = None
        self.held = self.agreement = None

    @property
    def spent(self) -> Spent:
        """What its process has taken; of one that has ended see `spent`."""
        return Spent() if self._process is None else self._process.spent

    def _can_reload(self, wanted: Held) -> bool:
        """Whether a running engine takes other weights; those of a hub may be a revision that only a start names."""
        return self.reload and bool(self.facts["reloads"]) and Path(wanted.weights).is_dir()

    def _start(self, weights: str) -> None:
        self.close()
        _take_place(self)
        self._process = self.launch()
        self.facts = self._process.ask(
            {"do": "start", "model": weights, **self.request}, f"open `{weights}`", self.seconds
        )
        asked = self.request["options"]
        for name, value in self.facts["in_effect"].items():
            if name in asked and asked[name] != value:
                self.close()
                raise PolicyError(PLACE, f"the engine was started with {name} {asked[name]!r} and has {value!r}")

    def _ask(self, request: Mapping[str, Any], doing: str) -> dict[str, Any]:
        assert self._process is not None
        try:
            return self._process.ask(request, doing)
        finally:
            if not self._process.is_alive:
                self.held = self.agreement = None


_running: dict[object, RunningEngine] = {}
"""By its settings; one at most."""


_ended = Spent()


def spent() -> Spent:
    """What all engines of this process have taken, as far as they have said: up to their last reply."""
    return sum((engine.spent for engine in _running.values()), _ended)


def running(settings: object, make: Callable[[], RunningEngine]) -> RunningEngine:
    """The engine of these settings: the one that runs, or one that takes its place as soon as it is used."""
    if settings not in _running:
        return make()
    return _running[settings]


def _take_place(engine: RunningEngine) -> None:
    """Close whatever else runs."""
    if engine not in _running.values():
        close_engine()
        _running[engine.settings] = engine


@atexit.register
def close_engine() -> None:
    """End this process's engine, if it has one."""
    while _running:
        _running.popitem()[1].close()
