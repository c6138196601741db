"""The recipe `chat` without a language model, where prompts begin with different shares of the kinds of answers.

python benchmarks/chat_spread.py                # two minutes; the figures of docs/results-chat.md

A policy is a logit of each kind that all prompts have in common, which is what steps move, and an offset of each prompt
and kind, which they do not. A step draws prompts and answers, and asks of each answer what INPO asks; a kind's logit
moves by the mean of what its answers lack, n * K / (1 + n * K) of it for n of them, of whose gradients a share K is
in common (`benchmarks/chat_signal.py --half-lives`). Offsets of the same spread make kinds rare within a prompt that
are not rare among all: they hardly meet, so that the inner games are slower than the policy is far from them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chat_model import KINDS, SETTINGS, Setting, game_of
from comal.games import PreferenceGame
from comal.recipes.load import load_recipe

IN_COMMON = np.array([0.15, 0.43, 0.05])
"""Share of an answer's gradient, by kind, with the half-life of the recipe."""
PROMPTS, DRAWN, ANSWERS, SEEDS = 250, 12, 12, 24
SPREADS, MOVES = (0.0, 0.7, 1.3), (4, 5, 6, None)

Array = NDArray[np.float64]


def main() -> None:
    recipe = load_recipe("chat")
    game, setting = game_of(recipe), list(SETTINGS.values())[-1]
    print(f"What the strongest adversary wins after {setting.steps} steps, mean of {SEEDS} runs ± their deviation\n")
    print(
        "| spread of logits | of shares | " + " | ".join(f"every {m}" if m else "fixed reference" for m in MOVES) + " |"
    )
    print("|" + " --- |" * (2 + len(MOVES)))
    for spread in SPREADS:
        offsets, logits = begin(setting, spread, np.random.default_rng(0))
        deviation = shares(offsets + logits).std(axis=0).mean()
        cells = []
        for every in MOVES:
            won = [adversary(game, setting, spread, every, seed) for seed in range(SEEDS)]
            cells.append(f"{np.mean(won):.3f} ± {np.std(won):.3f}")
        print(f"| {spread:g} | {deviation:.2f} | " + " | ".join(cells) + " |")


def adversary(game: PreferenceGame, setting: Setting, spread: float, every: int | None, seed: int) -> float:
    """What the strongest kind wins against the last policy, over all prompts.

    Args:
        game: of the kinds.
        setting: shares over all prompts to begin with, and the steps.
        spread: standard deviation of the prompts' offsets.
        every: steps between two moves of the reference; None: it never moves.
        seed: of offsets, prompts and answers.
    """
    rng = np.random.default_rng(seed)
    offsets, logits = begin(setting, spread, rng)
    reference = logits
    for step in range(setting.steps):
        if every is not None and step % every == 0:
            reference = logits
        drawn = rng.choice(PROMPTS, DRAWN, replace=False)
        policy, anchor = shares(offsets[drawn] + logits), shares(offsets[drawn] + reference)
        kinds = np.stack([rng.choice(len(KINDS), ANSWERS, p=of_prompt) for of_prompt in policy])
        won = game.P[kinds[:, :, None], kinds[:, None, :]].mean(axis=2)
        ahead = np.take_along_axis(np.log(policy) - np.log(anchor), kinds, axis=1)
        asked = setting.eta * (won - setting.tau * ahead)
        lacking = asked - np.log(np.exp(asked).mean(axis=1, keepdims=True))
        logits = logits + np.array([_arrives(lacking[kinds == kind], IN_COMMON[kind]) for kind in range(len(KINDS))])
    return float((game.P @ shares(offsets + logits).mean(axis=0)).max())


def _arrives(lacking: Array, in_common: float) -> float:
    if not lacking.size:
        return 0.0
    n = lacking.size * in_common
    return float(n / (1 + n) * lacking.mean())


def begin(setting: Setting, spread: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Offsets (prompts, kinds), and logits (kinds,) with which the mean shares are the setting's."""
    wanted = np.log(np.array(setting.start) / sum(setting.start))
    offsets = spread * rng.normal(size=(PROMPTS, len(KINDS)))
    logits = wanted
    for _ in range(200):
        logits = logits + wanted - np.log(shares(offsets + logits).mean(axis=0))
    return offsets, logits


def shares(logits: Array) -> Array:
    """Softmax over the last axis."""
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


if __name__ == "__main__":
    main()
