"""The recipe `chat` without a language model: its methods on the three kinds of answers, where steps arrive by a share.

python benchmarks/chat_model.py                      # seconds; the figures of docs/results-chat.md

What `comal audit` says of one run, for all settings that were tried: of each step only a share is taken. Without noise,
and with one policy for all prompts, so that nothing is lost between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from comal.evaluation.audit.foresight import strongest_at_the_end
from comal.games import PreferenceGame
from comal.judges.base import Comparison
from comal.plugins import ALGORITHMS
from comal.recipes.load import load_recipe
from comal.recipes.settings import Recipe
from comal.resolve import resolve_judge

KINDS = {
    "brief": "Water them less. That is all there is to say about it",
    "list": "Here is what helps:\n\n1. Light\n2. Water",
    "prose": "People who keep plants find sooner or later that most of them die of too much water, not of thirst.",
}


@dataclass(frozen=True)
class Setting:
    """What was run: the shares of the kinds that it began with, of any sum, and the steps."""

    start: tuple[float, float, float]
    eta: float
    tau: float
    steps: int


SETTINGS = {
    "16 forms": Setting((0.25, 0.23, 0.52), 5.0, 0.15, 36),
    "4 forms": Setting((0.36, 0.20, 0.43), 5.0, 0.15, 36),
    "supervised": Setting((0.16, 0.14, 0.70), 4.5, 0.2, 30),
    "brief begins otherwise": Setting((0.21, 0.11, 0.68), 4.5, 0.2, 30),
    "brief begins with First": Setting((0.31, 0.11, 0.57), 4.5, 0.2, 25),
    "half-life": Setting((0.33, 0.08, 0.60), 4.5, 0.2, 16),
    "half-life, larger steps": Setting((0.33, 0.08, 0.60), 6.5, 0.15, 16),
}
"""As docs/results-chat.md has them; steps, eta and tau of the last one are the recipe's."""
SHARES, MOVES = (0.2, 0.3, 0.45, 0.6, 0.75, 0.9), (3, 4, 5, 6, None)


def main() -> None:
    recipe = load_recipe("chat")
    game = game_of(recipe)
    print("What the strongest adversary wins at the start and in the end, by the share of a step that arrives\n")
    print(
        "| setting | start | share | "
        + " | ".join(f"moved every {m}" if m else "fixed reference" for m in MOVES)
        + " |"
    )
    print(" | ".join(["| ---", "---", "---", *("---" for _ in MOVES)]) + " |")
    for name, setting in SETTINGS.items():
        first = np.array(setting.start) / sum(setting.start)
        for share in SHARES:
            won = [f"{adversary(game, setting, share, every):.3f}" for every in MOVES]
            print(" | ".join([f"| {name}", f"{(game.P @ first).max():.3f}", f"{share:g}", *won]) + " |")


def game_of(recipe: Recipe) -> PreferenceGame:
    """The three kinds before the recipe's readers."""
    judge = resolve_judge(recipe.judge, "judge")
    P = [judge.compare([Comparison("", first, second) for second in KINDS.values()]) for first in KINDS.values()]
    return PreferenceGame(np.array(P, dtype=np.float64), tuple(KINDS))


def adversary(game: PreferenceGame, setting: Setting, share: float, every: int | None) -> float:
    """What the strongest adversary of the last policy wins.

    Args:
        game: of the kinds.
        setting: where it begins, and its steps.
        share: of a step that arrives.
        every: steps between two moves of the reference; None: it never moves.
    """
    inner = {"name": "inpo", "eta": setting.eta, "tau": setting.tau}
    method = inner if every is None else {"name": "comal", "inner": inner, "inner_steps": every, "update": "copy"}
    first = np.array(setting.start) / sum(setting.start)
    return strongest_at_the_end(game, ALGORITHMS.build(method, "algorithm"), first, setting.steps, share)


if __name__ == "__main__":
    main()
