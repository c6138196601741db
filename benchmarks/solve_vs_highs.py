"""Time of `comal.games.solve`, no options, against HiGHS on the same random games.

    OMP_NUM_THREADS=1 python benchmarks/solve_vs_highs.py [--answers 1000] [--seeds 3]

HiGHS gets the linear program min v: A p ≤ v, p a policy, by its interior-point method with crossover and by its dual
simplex; the faster one is compared. The target is a ratio below 1 at 1,000 answers. Measured with SciPy 1.17.1 and
NumPy 2.4.6 on one thread of a busy two-core machine, seeds 0 to 4: comal 0.45 to 0.81 s, interior point 2.3 to 2.8 s,
simplex 5.7 to 9.3 s; ratios 0.17 to 0.29, median 0.21.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
from scipy.optimize import linprog

from comal.games import PreferenceGame, duality_gap, named_game, solve


def highs(game: PreferenceGame, method: str) -> tuple[float, float]:
    """Seconds and duality gap of one linear program."""
    n = game.n
    begun = time.perf_counter()
    outcome = linprog(
        c=np.r_[np.zeros(n), 1.0],
        A_ub=np.c_[game.A, -np.ones(n)],
        b_ub=np.zeros(n),
        A_eq=np.r_[np.ones(n), 0.0][None],
        b_eq=[1.0],
        bounds=[(0, None)] * n + [(None, None)],
        method=method,
    )
    seconds = time.perf_counter() - begun
    policy = np.maximum(outcome.x[:n], 0.0)
    return seconds, float(duality_gap(game, policy / policy.sum()))


def main() -> None:
    arguments = argparse.ArgumentParser(description="Time of comal.games.solve against HiGHS.")
    arguments.add_argument("--answers", type=int, default=1000)
    arguments.add_argument("--seeds", type=int, default=3)
    options = arguments.parse_args()
    solve(named_game("random:n=50"))  # imports and thread pools are nobody's share
    ratios = []
    print("seed   comal s   gap      products   solves   highs-ipm s   gap       highs-ds s   gap      ratio")
    for seed in range(options.seeds):
        game = named_game(f"random:n={options.answers},seed={seed}")
        ours = solve(game)
        (ipm, ipm_gap), (simplex, simplex_gap) = highs(game, "highs-ipm"), highs(game, "highs-ds")
        ratios.append(ours.seconds / min(ipm, simplex))
        print(
            f"{seed:4}   {ours.seconds:7.2f}   {ours.duality_gap:.0e}   {ours.products:8}   {ours.linear_solves:6}   "
            f"{ipm:11.2f}   {ipm_gap:.0e}   {simplex:10.2f}   {simplex_gap:.0e}   {ratios[-1]:.2f}"
        )
    print(f"median ratio {statistics.median(ratios):.2f} (below 1: comal is faster)")


if __name__ == "__main__":
    main()
