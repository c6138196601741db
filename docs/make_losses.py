"""Write docs/losses.md from what the tests measure: `make docs`; a test checks that it is up to date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from comal.losses.base import Loss
from comal.pipeline.step.sampler import pairs_judged
from comal.plugins import LOSSES
from comal.recipes.settings import SamplingSettings
from loss_guarantees import ETA, LENGTHS, PREFERENCES, SAMPLES, SAMPLINGS, VARIANTS, measure

HEAD = f"""# Prox losses and what they guarantee

Made from measurements by `docs/make_losses.py`; `tests/losses/test_guarantees.py` makes them again.

A proximal step asks for the policy anchor · exp(η w), w the win rate against the step's opponent. On a language model a
*prox loss* is minimised instead. For each loss, and each way to draw what it is trained on, its expectation was
minimised over all policies on games of three answers (the expectation is a sum over everything that can be drawn, so
nothing here is sampled; η = {ETA:g}, {SAMPLES} samples a prompt), and the minimiser compared with the step.

- **exact**: the minimiser is the proximal step, in every game tried (total variation below 1e-7).
- **off** *x*: it is another policy; *x* is the largest total variation to the step, over the games tried.
- **reward** (*x*): it is anchor · exp(η s) for the true Bradley-Terry scores s, the best response to a *reward*, which
  is *x* from the step, whose payoff is the win rate.
- **no minimiser**: in some game the loss falls for ever while log-ratios grow; only early stopping ends it.
- **—**: the loss takes no such samples.

The columns:

- **all pairs of the opponent's samples**: the K samples of a prompt are judged among themselves. What a run does by
  default when the opponent is the policy.
- **independent pair, drawn label**: two samples of the opponent and one label, drawn by the judge's probability
  (`pairing: random`).
- **best-worst**, **best-second pair**: chosen by the win rates of the K samples among themselves.
- **another policy's samples**: judged against the opponent; losses that see labels only are given a pair's own label.
- **redrawn as the policy moves**: fresh samples of the policy in training at every optimiser step, judged against the
  fixed opponent. (The point where the gradient comes to rest.)

Anchor, opponent and sampler are three different policies, so none is right by coincidence; for the length-normalised
row answers have {", ".join(f"{length:g}" for length in LENGTHS)} tokens. "No noise" means that every verdict is 0 or 1.

Losses that estimate a log-partition from a prompt's K samples (`group` with the constant pinned, `dro` with the value
from the partition) come closer as K grows; `grpo` is further off the more its clip binds.
"""

COST = """## What a step costs

For each prompt with K samples; scoring the samples under the anchor's policies before training takes K forward passes
a policy for every loss.

| loss | answers trained on | comparisons judged |
|---|---|---|
"""


def text() -> str:
    """The page."""
    parts = [HEAD]
    for preferences in PREFERENCES:
        parts.append(f"## {preferences[0].upper()}{preferences[1:]} preferences\n")
        lines = ["| loss | " + " | ".join(SAMPLINGS) + " |", "|---" * (len(SAMPLINGS) + 1) + "|"]
        for variant in VARIANTS:
            cells = (measure(variant, sampling, preferences) for sampling in SAMPLINGS)
            lines.append("| " + " | ".join([variant, *("—" if c is None else c.text for c in cells)]) + " |")
        parts.append("\n".join(lines) + "\n")
    parts.append(COST + "\n".join(_cost(name) for name in LOSSES.names()) + "\n")
    return "\n".join(parts)


def _cost(name: str) -> str:
    loss: Loss = LOSSES.build(name, "loss")
    counts = {pairs_judged(SamplingSettings(samples=K), self_play=True) * 2 == K * (K - 1) for K in range(2, 9)}
    if counts != {True}:
        raise RuntimeError("a step judges another number of pairs than this page says")
    return f"| `{name}` | {'2' if loss.pairs else 'K'} | K(K − 1)/2, or K² against an opponent of its own samples |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "output", nargs="?", type=Path, default=Path(__file__).with_name("losses.md"), help="file of the page"
    )
    parser.parse_args(arguments).output.write_text(text(), "utf-8")


if __name__ == "__main__":
    main()
