"""COMAL in TRL: `sync_ref_model` with mixup 1 on games whose equilibria are known, beside a fixed reference.

    python benchmarks/trl_moving_reference.py --seeds 0 1 2

Prints mean total-variation distances of single-token policies to the Nash policies, and to those of the game
regularised to the start. Measured with seeds 0, 1, 2 (the equilibria are .177 apart):

    a reference that moves every 40 updates, 18 times, to Nash     .200 -> .032, .047, .031
    a fixed one, 160 updates, to the regularised policies          .150 -> .040, .027, .023

On exact gradients of the same model (no sampling, rate 2e-3, reference every 60 updates, 12 times) the distance to Nash
ends at .083 with Adam's usual first beta of .9, and at .025 without momentum; from sampled groups (seed 0) at .165 and
at .044.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
import one_token
import one_token_trl as games


def main() -> None:
    """Train both from one start with each seed and print one JSON object a seed."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--updates", type=int, default=40, help="between two moves of the reference")
    options.add_argument("--moves", type=int, default=18)
    options.add_argument("--fixed", type=int, default=160, help="updates with the fixed reference")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        tmp_path = Path(place)
        start = one_token.skewed_start(tmp_path)
        nash, regularised = games.equilibria(start)
        begin = one_token.policies(start)
        for seed in given.seeds:
            fixed = games.trained(start, tmp_path / f"fixed-{seed}", given.fixed, seed=seed)
            moving = games.trained(start, tmp_path / f"moving-{seed}", given.updates * given.moves, given.moves, seed)
            pairs = {
                "start to Nash": (begin, nash), "start to regularised": (begin, regularised),
                "regularised to Nash": (regularised, nash),
                "fixed to regularised": (fixed, regularised), "fixed to Nash": (fixed, nash),
                "moving to Nash": (moving, nash), "moving to regularised": (moving, regularised),
            }  # fmt: skip
            told = {name: round(float(np.mean(one_token.total_variations(*pair))), 4) for name, pair in pairs.items()}
            print(json.dumps({"seed": seed} | told), flush=True)


if __name__ == "__main__":
    main()
